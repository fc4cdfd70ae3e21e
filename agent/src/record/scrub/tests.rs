//! What is hidden, what stays, and that cuts between events change neither.

use abi::{DataHeader, Direction};
use proptest::prelude::*;

use super::Scrubber;

/// A conversation on connection 1: feeds stretches in order and keeps positions.
#[derive(Default)]
struct Talk {
    scrubber: Scrubber,
    at: [u64; 2],
}

impl Talk {
    fn says(&mut self, direction: Direction, text: &[u8]) -> Vec<u8> {
        self.call(direction, text, &[], text.len() as u32)
    }

    fn call(&mut self, direction: Direction, head: &[u8], tail: &[u8], len: u32) -> Vec<u8> {
        let header = DataHeader {
            connection: 1,
            position: self.at[direction as usize],
            len,
            head: head.len() as u32,
            tail: tail.len() as u32,
            direction: direction as u8,
            ..DataHeader::default()
        };
        self.at[direction as usize] += u64::from(len);
        let mut bytes = [head, tail].concat();
        self.scrubber.data(&header, &mut bytes);
        bytes
    }

    fn asks(&mut self, text: &str) -> String {
        String::from_utf8(self.says(Direction::Received, text.as_bytes())).unwrap()
    }

    fn answers(&mut self, text: &str) -> String {
        String::from_utf8(self.says(Direction::Sent, text.as_bytes())).unwrap()
    }
}

#[test]
fn secret_values_are_hidden_and_the_rest_stays() {
    let mut talk = Talk::default();
    assert_eq!(
        talk.asks(
            "POST /pay?id=7&access_token=abc&page=2&sig=q;w#code=zz HTTP/1.1\r\n\
             Host: shop\r\n\
             AUTHORIZATION: Bearer abc def\r\n\
             Cookie:a=b\r\n c=d\r\n\
             X-Api-Key: \r\n\
             Referer: https://bob:pw@shop/x?token=abc&n=1\r\n\
             traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
             Content-Length: 4\r\n\r\nbodyGET /next HTTP/1.1\r\n\r\n"
        ),
        "POST /pay?id=7&access_token=xxx&page=2&sig=xxx#code=xx HTTP/1.1\r\n\
         Host: shop\r\n\
         AUTHORIZATION: xxxxxxxxxxxxxx\r\n\
         Cookie:xxx\r\n xxx\r\n\
         X-Api-Key: \r\n\
         Referer: https://xxxxxx@shop/x?token=xxx&n=1\r\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
         Content-Length: 4\r\n\r\nxxxxGET /next HTTP/1.1\r\n\r\n"
    );
    assert_eq!(
        talk.answers("HTTP/1.1 200 OK\r\nSet-Cookie: s=1\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 None\r\n\r\nHTTP/1.1 404 Not\r\n"),
        "HTTP/1.1 200 OK\r\nSet-Cookie: xxx\r\nContent-Length: 2\r\n\r\nxxHTTP/1.1 204 None\r\n\r\nHTTP/1.1 404 Not\r\n"
    );
}

#[test]
fn chunk_sizes_stay_and_data_extensions_and_trailers_do_not() {
    let mut talk = Talk::default();
    assert_eq!(
        talk.asks(
            "PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n\
             5;chunk-signature=ab\r\n1\r\n2\n\r\n00A\r\n0123456789\r\n0\r\nX-Sum: 12\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        ),
        "PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n\
         5;xxxxxxxxxxxxxxxxxx\r\nxxxxx\r\n00A\r\nxxxxxxxxxx\r\n0\r\nxxxxx:xxx\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    );
}

#[test]
fn answers_without_bodies_are_known() {
    let mut talk = Talk::default();
    talk.asks("HEAD / HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
    let answers = "HTTP/1.1 100 Continue\r\n\r\n\
                   HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n\
                   HTTP/1.1 304 Not Modified\r\nContent-Length: 999\r\n\r\n\
                   HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(talk.answers(answers), answers);
}

#[test]
fn bodies_that_end_with_the_connection_and_tunnels_are_hidden() {
    let mut talk = Talk::default();
    talk.asks("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(talk.answers("HTTP/1.0 200 OK\r\n\r\nall"), "HTTP/1.0 200 OK\r\n\r\nxxx");
    assert_eq!(talk.answers("GET /ghost HTTP/1.1\r\n\r\n"), "x".repeat(23));
    let mut talk = Talk::default();
    assert_eq!(talk.asks("CONNECT db:1 HTTP/1.1\r\n\r\n"), "CONNECT db:1 HTTP/1.1\r\n\r\n");
    assert_eq!(talk.answers("HTTP/1.1 200 OK\r\n\r\nhush"), "HTTP/1.1 200 OK\r\n\r\nxxxx");
    assert_eq!(talk.asks("hush"), "\0\0\0\0");
    let mut talk = Talk::default();
    talk.asks("GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
    let switching = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    assert_eq!(talk.answers(&format!("{switching}hush")), format!("{switching}xxxx"));
}

#[test]
fn other_protocols_are_zeros() {
    for text in [
        "AUTH hunter2\r\n",
        "PASS hunter2\r\n",
        "AUTH hunter2",
        "hunter2",
        "*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n",
        "\x16\x03\x01\x02",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET: hunter2\r\n",
        "secret HTTP/1.1\r\n",
    ] {
        let mut talk = Talk::default();
        assert_eq!(talk.asks(text), "\0".repeat(text.len()), "{text:?}");
    }
}

#[test]
fn the_middle_of_a_body_is_zeros_until_a_call_begins_a_message() {
    let mut talk = Talk::default();
    assert_eq!(talk.asks("secret\r\nGET / HTTP/1.1\r\n\r\n"), "\0".repeat(26));
    assert_eq!(talk.asks("GET / HTTP/1.1\r\n\r\n"), "GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn a_cut_start_line_of_an_unknown_method_never_becomes_another() {
    let mut talk = Talk::default();
    assert_eq!(talk.asks("B"), "\0");
    assert_eq!(talk.asks("REW /pot HTTP/1.1\r\n\r\n"), "\0".repeat(21));
    assert_eq!(talk.asks("BREW /pot HTTP/1.1\r\n\r\n"), "BREW /pot HTTP/1.1\r\n\r\n");
}

#[test]
fn bytes_left_out_move_a_body_on() {
    use Direction::Received;
    let mut talk = Talk::default();
    let head = b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n";
    talk.call(Received, head, b"", head.len() as u32 + 60);
    talk.call(Received, b"", b"tail", 40);
    assert_eq!(talk.asks("GET / HTTP/1.1\r\n\r\n"), "GET / HTTP/1.1\r\n\r\n");
    // Beyond the body: what follows is not known to be the middle of anything, unless it begins a message.
    let head = b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n";
    let out = talk.call(Received, head, b" GET / HTTP/1.1\r", head.len() as u32 + 90);
    assert_eq!(&out[..head.len()], head);
    assert_eq!(&out[head.len()..], [0; 16]);
}

#[test]
fn lost_chunks_keep_what_ends_them() {
    use Direction::Received;
    for end in ["\r\n0\r\n\r\n", "\r\n0\r\nSum: 0\r\n\r\n"] {
        let mut talk = Talk::default();
        let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
        let out = talk.call(Received, head, b"s\r\n9\r\nsec", head.len() as u32 + 500);
        assert_eq!(&out[head.len()..], b"x\r\nx\r\nxxx");
        let out = talk.call(Received, b"1f4\r\nhush", format!("sh{end}").as_bytes(), 509);
        let kept = format!("xxx\r\nxxxxxx{}", end.replace("Sum", "xxx"));
        assert_eq!(String::from_utf8(out).unwrap(), kept);
        assert_eq!(talk.asks("GET / HTTP/1.1\r\n\r\n"), "GET / HTTP/1.1\r\n\r\n");
    }
}

#[test]
fn an_answer_in_place_of_a_body_that_may_not_exist_is_seen() {
    // The request was not seen: it may have been a HEAD.
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    let mut talk = Talk::default();
    assert_eq!(talk.answers(head), head);
    assert_eq!(talk.answers(&format!("{head}{}", "s".repeat(9))), format!("{head}xxxxxxxxx"));
    // It was, and was none.
    let mut talk = Talk::default();
    talk.asks("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(talk.answers(head), head);
    assert_eq!(talk.answers(head), format!("xxxxxxxxx{}", "\0".repeat(head.len() - 9)));
    // A client that was refused to go on.
    let mut talk = Talk::default();
    let put = "PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    talk.asks(put);
    talk.answers("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(talk.asks(put), put);
}

#[test]
fn an_answer_before_its_request_does_not_shift_the_next() {
    let mut talk = Talk::default();
    talk.answers("HTTP/1.1 204 None\r\n\r\n");
    talk.asks("GET / HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    let answers = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(talk.answers(answers), answers);
}

#[test]
fn lines_that_are_no_headers_are_hidden_and_the_head_goes_on() {
    let mut talk = Talk::default();
    assert_eq!(
        talk.asks("GET / HTTP/1.1\r\nb@d secret: 1\r\nCookie : a\r\nno colon\r\n\rx\r\nHost:h\r\n\r\nGET / HTTP/1.0\r\n\r\n"),
        "GET / HTTP/1.1\r\nbxxxxxxxxxxxx\r\nCookie : x\r\nno xxxxx\r\n\rx\r\nHost:h\r\n\r\nGET / HTTP/1.0\r\n\r\n"
    );
}

#[test]
fn lengths_that_contradict_each_other_are_no_lengths() {
    let mut talk = Talk::default();
    let head = "POST / HTTP/1.1\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(
        talk.asks(&format!("{head}abGET / HTTP/1.1\r\n\r\n")),
        format!("{head}xxGET / HTTP/1.1\r\n\r\n")
    );
    let head = "POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(talk.asks(&format!("{head}abGET / ")), format!("{head}xxxxx x "));
}

#[test]
fn a_loss_inside_a_head_hides_what_follows() {
    let mut talk = Talk::default();
    talk.asks("GET / HTTP/1.1\r\nAuthoriz");
    talk.at[Direction::Received as usize] += 20;
    assert_eq!(talk.asks("hunter2\r\n\r\n"), "\0".repeat(11));
}

#[test]
fn memory_is_bounded_and_the_rest_is_counted() {
    let mut scrubber = Scrubber::default();
    let header = |connection| DataHeader { connection, len: 4, head: 4, ..DataHeader::default() };
    for connection in 0..super::MOST_CONNECTIONS as u64 + 3 {
        let mut bytes = *b"hush";
        scrubber.data(&header(connection), &mut bytes);
        assert_eq!(bytes, [0; 4]);
    }
    assert_eq!((scrubber.connections.len(), scrubber.blind()), (super::MOST_CONNECTIONS, 3));
    scrubber.forget(1);
    scrubber.data(&header(u64::MAX), &mut [0; 4]);
    assert_eq!(scrubber.blind(), 3);
}

/// A message with secrets that all contain `Zq7`, at every place where a secret is hidden.
fn message() -> impl Strategy<Value = String> {
    let target = prop_oneof![
        Just("/a/b"),
        Just("/?token=Zq7&x=1"),
        Just("/p?x=1&password=Zq7;Zq7"),
        Just("/#access_token=Zq7"),
    ];
    let header = prop_oneof![
        Just("Host: shop\r\n"),
        Just("Authorization: Basic Zq7=\r\n"),
        Just("cookie:Zq7\r\n\t Zq7\r\n"),
        Just("Set-Cookie: a=Zq7; b\r\n"),
        Just("x-api-key: Zq7\r\n"),
        Just("Referer: http://h/?sig=Zq7&a=b\r\n"),
        Just("Accept: */*\r\n"),
    ];
    let body = prop_oneof![
        Just("\r\n".to_owned()),
        Just("Content-Length: 9\r\n\r\nZq7Zq7Zq7".to_owned()),
        Just(
            "Transfer-Encoding: chunked\r\n\r\n3\r\nZq7\r\n6;e=Zq7\r\nZq7Zq7\r\n0\r\nT: Zq7\r\n\r\n"
                .to_owned()
        ),
    ];
    let method = prop_oneof![Just("GET"), Just("POST"), Just("HEAD"), Just("OPTIONS")];
    (method, target, prop::collection::vec(header, 0..6), body).prop_map(
        |(method, target, headers, body)| {
            format!("{method} {target} HTTP/1.1\r\n{}{body}", headers.concat())
        },
    )
}

proptest! {
    #[test]
    fn cuts_change_nothing_and_no_secret_passes(
        messages in prop::collection::vec(message(), 1..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let text = messages.concat();
        let whole = Talk::default().asks(&text);
        prop_assert!(!whole.contains("Zq7"), "{whole}");
        prop_assert_eq!(whole.len(), text.len());
        // Start lines and framing are as they were, and scrubbing again changes nothing.
        prop_assert_eq!(whole.matches(" HTTP/1.1\r\n").count(), messages.len());
        prop_assert_eq!(&Talk::default().asks(&whole), &whole);

        let mut at: Vec<usize> = cuts.iter().map(|c| c.index(text.len())).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let mut talk = Talk::default();
        let pieces: String = at.windows(2).map(|w| talk.asks(&text[w[0]..w[1]])).collect();
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn any_bytes_in_any_events_are_fine(
        events in prop::collection::vec(
            (any::<u8>(), 0..4_u64, 0..40_u32, any::<u16>(), prop::collection::vec(any::<u8>(), 0..40), 0..40_usize),
            0..40,
        ),
    ) {
        let mut scrubber = Scrubber::default();
        let mut position = 0;
        for (direction, jump, missing, flags, mut bytes, tail) in events {
            let tail = tail.min(bytes.len());
            let header = DataHeader {
                connection: 1,
                position,
                len: bytes.len() as u32 + missing,
                head: (bytes.len() - tail) as u32,
                tail: tail as u32,
                direction: direction % 3,
                flags,
                ..DataHeader::default()
            };
            let before = bytes.len();
            scrubber.data(&header, &mut bytes);
            prop_assert_eq!(bytes.len(), before);
            position += u64::from(header.len) + jump / 3;
        }
    }
}
