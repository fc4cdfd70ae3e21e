//! The decoder of ring events over any bytes: what it accepts is consistent, and is written back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwire::input::Input;
use spanwire::kernel::decode;
use zerocopy::IntoBytes;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Input::Data(header, payload)) = decode::data(bytes) {
        let copied = header.head as usize + header.tail as usize;
        assert_eq!(payload.len(), copied);
        assert!(copied as u64 <= u64::from(header.len));
        let mut again = header.as_bytes().to_vec();
        again.extend_from_slice(&payload);
        assert_eq!(bytes.get(..again.len()), Some(again.as_slice()));
    }
    let again = match decode::control(bytes) {
        Ok(Input::Opened(event)) => event.as_bytes().to_vec(),
        Ok(Input::Closed(event)) => event.as_bytes().to_vec(),
        Ok(Input::TcpState(event)) => event.as_bytes().to_vec(),
        Ok(Input::Exec(event) | Input::Exit(event)) => event.as_bytes().to_vec(),
        Ok(Input::Revoked(event)) => event.as_bytes().to_vec(),
        Ok(Input::Retransmitted(event)) => event.as_bytes().to_vec(),
        Ok(Input::Carried(event)) => event.as_bytes().to_vec(),
        Ok(Input::Worker(event)) => event.as_bytes().to_vec(),
        Ok(Input::StreamCall(event)) => event.as_bytes().to_vec(),
        Ok(Input::CallerFound(event)) => event.as_bytes().to_vec(),
        Ok(Input::TaskEnded(event)) => event.as_bytes().to_vec(),
        Ok(Input::Inserted(event)) => event.as_bytes().to_vec(),
        Ok(Input::Boundary(event)) => event.as_bytes().to_vec(),
        // By name, so that a kind that is new does not compile until it stands above.
        Ok(
            other @ (Input::Data(..)
            | Input::TasksEnded(_)
            | Input::Process(_)
            | Input::UnixGone(_)
            | Input::Lost { .. }
            | Input::Tick { .. }),
        ) => panic!("no control event: {other:?}"),
        Err(_) => return,
    };
    assert_eq!(bytes.get(..again.len()), Some(again.as_slice()));
});
