//! Recordings there and back, cut off, corrupt, and made of anything.

use std::os::unix::fs::PermissionsExt;

use abi::{
    Closed, ControlHeader, DataHeader, MAX_PAYLOAD, Opened, ProcessEvent, Retransmitted, Revoked,
    TcpState,
    insert::{Boundary, Inserted},
    wire::Carried,
};
use proptest::prelude::*;

use super::*;
use crate::input::{ConnId, Input, Nanos};
use crate::service::ProcessFacts;

fn header() -> Header {
    Header {
        seed: [3, u64::MAX],
        metadata: Metadata { kernel: "6.1.0".to_owned(), ..Metadata::default() },
    }
}

fn written(inputs: &[Input], limit: u64) -> (Vec<u8>, Written) {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, &header(), limit).unwrap();
    for input in inputs {
        writer.write(input).unwrap();
    }
    let written = writer.finish().unwrap();
    assert_eq!(written.bytes, bytes.len() as u64);
    (bytes, written)
}

fn read(bytes: &[u8]) -> (Vec<Input>, bool) {
    let mut reader = Reader::new(bytes).unwrap();
    let inputs = reader.by_ref().collect::<Result<_, _>>().unwrap();
    (inputs, reader.truncated())
}

fn error(bytes: &[u8]) -> String {
    match Reader::new(bytes) {
        Err(error) => error.to_string(),
        Ok(mut reader) => {
            let error = reader.find_map(Result::err).unwrap().to_string();
            assert!(reader.next().is_none(), "an error is the end");
            error
        }
    }
}

fn control() -> impl Strategy<Value = ControlHeader> + Clone {
    (any::<u64>(), any::<u32>()).prop_map(|(time, kind)| ControlHeader { time, kind, reserved: 0 })
}

fn input() -> impl Strategy<Value = Input> {
    let process = (control(), any::<u32>(), any::<[u8; 16]>())
        .prop_map(|(header, tgid, comm)| ProcessEvent { header, tgid, reserved: 0, comm });
    prop_oneof![
        (control(), any::<u64>(), any::<[u8; 16]>(), any::<u16>()).prop_map(
            |(header, connection, local_address, local_port)| {
                Input::Opened(Opened {
                    header,
                    connection,
                    local_address,
                    local_port,
                    ..Opened::default()
                })
            }
        ),
        (control(), any::<u64>())
            .prop_map(|(header, connection)| Input::Closed(Closed { header, connection })),
        (control(), any::<u64>(), any::<u32>()).prop_map(|(header, connection, error)| {
            Input::TcpState(TcpState { header, connection, error, ..TcpState::default() })
        }),
        process.clone().prop_map(Input::Exec),
        process.prop_map(Input::Exit),
        (control(), any::<u32>(), any::<u32>())
            .prop_map(|(header, tgid, tid)| Input::Revoked(Revoked { header, tgid, tid })),
        (control(), any::<u64>()).prop_map(|(header, connection)| {
            Input::Retransmitted(Retransmitted { header, connection, segments: 2, reserved: 0 })
        }),
        (control(), any::<[u64; 5]>(), any::<[u32; 2]>()).prop_map(
            |(header, words, [sampled, direction])| {
                let [connection, position, high, low, span] = words;
                Input::Carried(Carried {
                    header,
                    connection,
                    position,
                    trace: [high, low],
                    span,
                    sampled,
                    direction,
                })
            }
        ),
        (control(), any::<[u64; 2]>(), any::<[u32; 6]>()).prop_map(|(header, words, parts)| {
            let ([connection, position], [size, at, len, frame, length, reserved]) = (words, parts);
            Input::Inserted(Inserted {
                header,
                connection,
                position,
                size,
                at,
                len,
                frame,
                length,
                reserved,
            })
        }),
        (control(), any::<[u64; 2]>()).prop_map(|(header, [connection, known])| {
            Input::Boundary(Boundary { header, connection, known })
        }),
        // Zeros: bytes that scrubbing leaves alone.
        (any::<u64>(), any::<u64>(), 0..300_u32, 0..64_u32, any::<u32>()).prop_map(
            |(connection, position, head, tail, len)| {
                let header =
                    DataHeader { connection, position, len, head, tail, ..DataHeader::default() };
                Input::Data(header, vec![0; (head + tail) as usize].into())
            }
        ),
        (any::<u32>(), "\\PC{0,20}", prop::collection::vec("[a-z/.]{0,12}", 0..5)).prop_map(
            |(pid, comm, arguments)| {
                Input::Process(Box::new(ProcessFacts {
                    pid,
                    comm,
                    // Its arguments name it, and so stay.
                    exe: "/usr/bin/python3".to_owned(),
                    arguments,
                    ..ProcessFacts::default()
                }))
            }
        ),
        prop::collection::vec(any::<u64>().prop_map(ConnId), 0..50).prop_map(Input::UnixGone),
        (any::<u64>(), any::<u64>()).prop_map(|(data, control)| Input::Lost { data, control }),
        (any::<u64>(), any::<i64>())
            .prop_map(|(now, wall_offset)| Input::Tick { now: Nanos(now), wall_offset }),
    ]
}

proptest! {
    #[test]
    fn what_was_written_is_read(inputs in prop::collection::vec(input(), 0..30)) {
        let (bytes, counts) = written(&inputs, u64::MAX);
        prop_assert_eq!(counts.inputs, inputs.len() as u64);
        prop_assert_eq!(read(&bytes), (inputs, false));
    }

    #[test]
    fn a_file_cut_anywhere_gives_what_was_whole(
        inputs in prop::collection::vec(input(), 1..10),
        cut in any::<prop::sample::Index>(),
    ) {
        let (bytes, _) = written(&inputs, u64::MAX);
        let (start, _) = written(&[], u64::MAX);
        let cut = start.len() + cut.index(bytes.len() - start.len());
        let (got, truncated) = read(&bytes[..cut]);
        prop_assert_eq!(&got[..], &inputs[..got.len()]);
        let (whole, _) = written(&got, u64::MAX);
        prop_assert_eq!(truncated, whole.len() != cut);
        prop_assert!(whole.len() <= cut);
    }

    #[test]
    fn any_bytes_are_read_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        with_header in any::<bool>(),
    ) {
        let (mut file, _) = written(&[], u64::MAX);
        if !with_header {
            file.clear();
        }
        file.extend(bytes);
        if let Ok(reader) = Reader::new(file.as_slice()) {
            let most = file.len() / frame::HEAD + 1;
            prop_assert!(reader.take(most + 1).count() <= most);
        }
    }

    #[test]
    fn any_changed_byte_is_read_without_panic(
        inputs in prop::collection::vec(input(), 1..6),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let (mut bytes, _) = written(&inputs, u64::MAX);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(reader) = Reader::new(bytes.as_slice()) {
            let _ = reader.count();
        }
    }
}

#[test]
fn the_header_comes_back() {
    let (bytes, _) = written(&[], u64::MAX);
    assert_eq!(Reader::new(bytes.as_slice()).unwrap().header(), &header());
}

#[test]
fn other_files_and_other_versions_are_told_apart() {
    let (bytes, _) = written(&[], u64::MAX);
    assert_eq!(error(b""), "this is not a recording of spanwire");
    assert_eq!(error(b"\x7fELF................"), "this is not a recording of spanwire");
    assert_eq!(error(&bytes[..20]), "this is not a recording of spanwire");
    let mut newer = bytes;
    newer[12] = 9;
    assert_eq!(
        error(&newer),
        format!(
            "this recording has format 1 and ABI 9, this spanwire reads format 1 and ABI {}: replay \
             it with the version that wrote it",
            abi::ABI_VERSION
        )
    );
}

#[test]
fn corruption_is_told_with_its_place() {
    let tick = Input::Tick { now: Nanos(1), wall_offset: 2 };
    let (start, _) = written(&[], u64::MAX);
    let (bytes, _) = written(&[tick.clone(), tick], u64::MAX);
    let second = start.len() + frame::HEAD + 16;
    let with = |offset: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[second + offset] = byte;
        error(&bytes)
    };
    let at = |why: &str| format!("the recording is corrupt at byte {second}: {why}");
    assert_eq!(with(4, 99), at("a frame of unknown kind"));
    assert_eq!(with(7, 1), at("a frame head with bytes that must be zero"));
    assert_eq!(with(0, 15), at("a frame of impossible length"));
    assert_eq!(with(3, 0xff), at("a frame of impossible length"));
    // A data event that claims more bytes than it has.
    let (mut bytes, _) = written(&[Input::Data(DataHeader::default(), Box::default())], u64::MAX);
    let head_field = bytes.len() - size_of::<DataHeader>() + std::mem::offset_of!(DataHeader, head);
    bytes[head_field] = 1;
    assert!(error(&bytes).ends_with("a data event whose bytes are not as many as it says"));
}

#[test]
fn a_length_alone_allocates_nothing() {
    let (mut bytes, _) = written(&[], u64::MAX);
    // The longest frame there can be, of which nothing follows.
    bytes.extend((16_u32 << 20).to_le_bytes());
    bytes.extend([8, 0, 0, 0]);
    let mut reader = Reader::new(bytes.as_slice()).unwrap();
    assert!(reader.next().is_none());
    assert!(reader.truncated());
    assert!(reader.allocated() < 4096, "{}", reader.allocated());
}

#[test]
fn the_limit_ends_a_recording_for_good() {
    let (start, _) = written(&[], u64::MAX);
    let tick = Input::Tick { now: Nanos(1), wall_offset: 2 };
    let large = Input::UnixGone(vec![ConnId(1); 100]);
    let limit = start.len() as u64 + 2 * 24 + 100;
    let (bytes, counts) = written(&[tick.clone(), tick.clone(), large, tick.clone()], limit);
    assert_eq!((counts.inputs, counts.over_limit), (2, 2));
    assert_eq!(read(&bytes), (vec![tick.clone(), tick], false));
}

#[test]
fn what_no_probe_writes_is_counted_and_left_out() {
    let lying = DataHeader { head: 5, ..DataHeader::default() };
    let too_long = DataHeader { head: MAX_PAYLOAD as u32 + 1, ..DataHeader::default() };
    let inputs = [
        Input::Data(lying, vec![0; 4].into()),
        Input::Data(too_long, vec![0; MAX_PAYLOAD + 1].into()),
    ];
    let (bytes, counts) = written(&inputs, u64::MAX);
    assert_eq!((counts.malformed, counts.inputs), (2, 0));
    assert_eq!(read(&bytes), (vec![], false));
}

#[test]
fn secrets_do_not_reach_the_file() {
    let text = b"GET /?token=hunter2 HTTP/1.1\r\nAuthorization: hunter2\r\n\r\n";
    let data = DataHeader {
        connection: 4,
        position: 9,
        len: text.len() as u32,
        head: text.len() as u32,
        ..DataHeader::default()
    };
    let facts = ProcessFacts {
        arguments: vec!["x".to_owned(), "--password=hunter2".to_owned()],
        ..ProcessFacts::default()
    };
    let inputs = [Input::Process(Box::new(facts)), Input::Data(data, text.as_slice().into())];
    let (bytes, _) = written(&inputs, u64::MAX);
    assert!(!bytes.windows(7).any(|w| w == b"hunter2"));
    let (got, _) = read(&bytes);
    let Input::Data(header, payload) = &got[1] else { panic!("{got:?}") };
    assert_eq!(header, &data);
    assert_eq!(&payload[..], b"GET /?token=xxxxxxx HTTP/1.1\r\nAuthorization: xxxxxxx\r\n\r\n");
}

#[test]
fn a_file_is_its_owners_and_never_replaces_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.spanwire");
    let writer = Writer::create(&path, &header(), u64::MAX).unwrap();
    writer.finish().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Reader::open(&path).unwrap().count(), 0);
    let error = Writer::create(&path, &header(), u64::MAX).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
}
