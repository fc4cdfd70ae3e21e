//! What an attempt came to, and how long to wait before the next.
//!
//! Pure: randomness is a parameter, so that tests can see the bounds of the jitter.

use std::time::{Duration, SystemTime};

/// What an attempt to send a batch came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Accepted; so many of its spans were not (partial success), and what the server says of it.
    Accepted {
        /// Spans the server did not take. As it says: may be any number.
        rejected: i64,
        /// Its words, empty when it has nothing to say.
        message: String,
    },
    /// Refused for good.
    Refused(String),
    /// Failed in a way that may pass.
    Later {
        /// Why, for people.
        why: String,
        /// How long the server wants to be left alone.
        after: Option<Duration>,
    },
}

/// Longest server hint that is obeyed: a wrong header must not silence an agent for a day.
const LONGEST_HINT: Duration = Duration::from_secs(300);

/// Waiting times between attempts: doubling from `first` up to `cap`, each shortened by up to half at random so that
/// many agents do not come back at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffTimes {
    /// Before the second attempt.
    pub first: Duration,
    /// Never longer.
    pub cap: Duration,
}

impl Default for BackoffTimes {
    /// 250 ms hides a restart of a local collector; 15 s is how late we may notice that a server is back.
    fn default() -> Self {
        Self { first: Duration::from_millis(250), cap: Duration::from_secs(15) }
    }
}

/// The waits of one batch.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    times: BackoffTimes,
    attempt: u32,
}

impl Backoff {
    pub(super) const fn new(times: BackoffTimes) -> Self {
        Self { times, attempt: 0 }
    }

    /// The next wait, between half and the whole of the step.
    pub(super) fn next(&mut self, random: u64) -> Duration {
        let step = self.times.first.saturating_mul(1 << self.attempt.min(20)).min(self.times.cap);
        self.attempt += 1;
        let half = step / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(random % nanos.saturating_add(1))
    }
}

/// A `Retry-After` value: seconds or an HTTP-date (RFC 9110 §10.2.3). `None` when it is neither.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_HINT))
}

/// The delay in the details of a gRPC status (`google.rpc.Status` with a `google.rpc.RetryInfo` among them).
pub(super) fn retry_info(details: &[u8]) -> Option<Duration> {
    use prost::Message;
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|d| d.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    let seconds = u64::try_from(delay.seconds).unwrap_or(0);
    let nanos = u32::try_from(delay.nanos).unwrap_or(0).min(999_999_999);
    Some(Duration::new(seconds, nanos).min(LONGEST_HINT))
}

/// `google.rpc.Status`, as far as it is read here.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RpcStatus {
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(super) retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct ProtoDuration {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn waits_double_up_to_the_cap_and_jitter_stays_in_the_upper_half() {
        let times =
            BackoffTimes { first: Duration::from_millis(100), cap: Duration::from_millis(500) };
        let (mut least, mut most) = (Backoff::new(times), Backoff::new(times));
        let ms = |d: Duration| d.as_millis();
        let lower: Vec<u128> = (0..5).map(|_| ms(least.next(0))).collect();
        assert_eq!(lower, [50, 100, 200, 250, 250]);
        let upper: Vec<u128> =
            [50_000_000, 100_000_000, 200_000_000, 250_000_000].map(|r| ms(most.next(r))).into();
        assert_eq!(upper, [100, 200, 400, 500]);
        let mut any = Backoff::new(times);
        for random in [u64::MAX, 12_345, 1 << 40] {
            assert!(any.next(random) <= times.cap);
        }
        let mut long = Backoff { times, attempt: u32::MAX - 1 };
        assert_eq!(ms(long.next(0)), 250);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after("3", now), Some(Duration::from_secs(3)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:57 GMT", now),
            Some(Duration::from_secs(20))
        );
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("18446744073709551615", now), Some(LONGEST_HINT));
        assert_eq!(retry_after("-1", now), None);
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn retry_info_is_found_among_details() {
        let details = |delay| {
            RpcStatus {
                message: String::new(),
                details: vec![
                    Any { type_url: "type.googleapis.com/other".into(), value: vec![1, 2] },
                    Any {
                        type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
                        value: RetryInfo { retry_delay: delay }.encode_to_vec(),
                    },
                ],
            }
            .encode_to_vec()
        };
        let delay = Some(ProtoDuration { seconds: 1, nanos: 500_000_000 });
        assert_eq!(retry_info(&details(delay)), Some(Duration::from_millis(1_500)));
        assert_eq!(retry_info(&details(None)), Some(Duration::ZERO));
        let negative = Some(ProtoDuration { seconds: -5, nanos: i32::MIN });
        assert_eq!(retry_info(&details(negative)), Some(Duration::ZERO));
        assert_eq!(retry_info(b""), None);
        assert_eq!(retry_info(b"\xff\xff"), None);
    }
}
