//! The gRPC tour: one call of each sort, that every client of `workloads/grpc` makes and every server answers.
//!
//! The known truth of the tests of gRPC: what a client must have printed. Messages are bytes, and the methods of
//! [`SERVICE`] are: `Echo` (answers the request), `Refuse` (the request begins with a status code, the answer is that
//! status), `Sleep` (milliseconds), `Collect` (streamed requests, answers their number), `Count` (a number, streams so
//! many answers), `Chat` (streams both ways, each request answered by itself).

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::hex::hex;
use crate::programs::grpc::Runtime;

/// The service's full name.
pub const SERVICE: &str = "spanwire.tests.Tour";

/// A call and how it must have ended for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method's name without the service's.
    pub method: &'static str,
    /// How many messages the client sends.
    pub sent: usize,
    /// The name of the status.
    pub status: &'static str,
    /// The status it may have ended with instead: both ends watch a deadline, and either may be first to end the call.
    pub or: Option<&'static str>,
    /// The message of the status, as the server gave it. Empty where the client itself ended the call: then it is in the
    /// client's own words, which hold times.
    pub message: String,
    /// The messages of the server; of a long one its SHA-256.
    pub answers: Vec<String>,
}

impl Call {
    fn answered(method: &'static str, sent: usize, answers: Vec<String>) -> Self {
        Self { method, sent, status: "OK", or: None, message: String::new(), answers }
    }

    fn failed(method: &'static str, status: &'static str, message: &str) -> Self {
        let message = message.to_owned();
        Self { method, sent: 1, status, or: None, message, answers: Vec::new() }
    }

    /// The method's fully qualified name, as in `rpc.method`.
    #[must_use]
    pub fn full_method(&self) -> String {
        format!("{SERVICE}/{}", self.method)
    }

    /// What a client prints for it, as JSON.
    #[must_use]
    pub fn line(&self) -> Json {
        json!({
            "method": self.full_method(),
            "status": self.status,
            "message": self.message,
            "answers": self.answers,
        })
    }

    /// Whether a client's line tells of this call.
    #[must_use]
    pub fn fits(&self, told: &Json) -> bool {
        let mut wanted = self.line();
        *told == wanted
            || self.or.is_some_and(|status| {
                wanted["status"] = status.into();
                *told == wanted
            })
    }
}

/// The calls of the scenario `tour`, in their order. What differs from one pair of runtimes to the other is told by
/// [`unimplemented_message`] and [`instead_of_deadline_exceeded`].
#[must_use]
pub fn calls(client: Runtime, server: Runtime) -> Vec<Call> {
    let long = hex(&Sha256::digest("0123456789".repeat(20_000)));
    vec![
        Call::answered("Echo", 1, vec!["0123456789".repeat(10)]),
        Call::answered("Echo", 1, vec![long]),
        Call::failed("Refuse", "NOT_FOUND", "refused: é 5"),
        Call::failed("Refuse", "INTERNAL", "refused: é 13"),
        Call::answered("Collect", 5, vec!["5".to_owned()]),
        Call::answered("Count", 1, (0..7).map(|i| i.to_string()).collect()),
        Call::answered("Chat", 3, (0..3).map(|i| format!("message {i}")).collect()),
        Call {
            or: instead_of_deadline_exceeded(client, server),
            ..Call::failed("Sleep", "DEADLINE_EXCEEDED", "")
        },
        Call::failed("Sleep", "CANCELLED", ""),
        Call::failed("Missing", "UNIMPLEMENTED", unimplemented_message(server)),
    ]
}

/// The call that follows when the scenario `tour` is given a `traceparent`, which it sends as metadata.
#[must_use]
pub fn traced() -> Call {
    Call::answered("Echo", 1, vec!["traced".to_owned()])
}

/// A call of the scenario `load`. Its line has its number, too (`"number"`).
#[must_use]
pub fn load(number: usize) -> Call {
    match number % 3 {
        0 => Call::answered("Echo", 1, vec![format!("call {number}")]),
        1 => Call::failed("Refuse", "NOT_FOUND", "refused: é 5"),
        _ => Call::answered("Count", 1, (0..3).map(|i| i.to_string()).collect()),
    }
}

/// What a passed deadline may be called by one of the ends, where that is not what the specification calls it. The servers
/// of grpc-go and grpc-java reset the stream with the error CANCEL; tonic's server answers CANCELLED, and tonic's client calls it so itself.
const fn instead_of_deadline_exceeded(client: Runtime, server: Runtime) -> Option<&'static str> {
    match (client, server) {
        (Runtime::Tonic, _) | (_, Runtime::Go | Runtime::Java | Runtime::Tonic) => {
            Some("CANCELLED")
        }
        _ => None,
    }
}

/// How a server says that it does not know a method: each in its own words.
const fn unimplemented_message(server: Runtime) -> &'static str {
    match server {
        Runtime::Python | Runtime::Asyncio => "Method not found!",
        Runtime::Go => "unknown method Missing for service spanwire.tests.Tour",
        Runtime::Java => "Method not found: spanwire.tests.Tour/Missing",
        Runtime::Node => "The server does not implement the method /spanwire.tests.Tour/Missing",
        Runtime::Tonic => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_clients_print() {
        let told = r#"{"method": "spanwire.tests.Tour/Refuse", "status": "NOT_FOUND", "message": "refused: é 5", "answers": []}"#;
        assert_eq!(serde_json::from_str::<Json>(told).unwrap(), load(1).line());
    }

    #[test]
    fn only_a_deadline_may_be_called_otherwise() {
        let fitting = |server: Runtime, status: &str| {
            let calls = calls(Runtime::Python, server);
            let told = json!({"method": "spanwire.tests.Tour/Sleep", "status": status, "message": "", "answers": []});
            calls.iter().filter(|call| call.fits(&told)).count()
        };
        assert_eq!(fitting(Runtime::Go, "DEADLINE_EXCEEDED"), 1);
        assert_eq!(fitting(Runtime::Go, "CANCELLED"), 2);
        assert_eq!(fitting(Runtime::Node, "CANCELLED"), 1);
        assert_eq!(fitting(Runtime::Go, "OK"), 0);
    }
}
