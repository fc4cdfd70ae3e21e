//! The bytes of the ABI, pinned. When a test here fails, raise `ABI_VERSION` and pin the new bytes: recordings made before
//! then say that they are of another version, instead of being read wrongly.
#![cfg(feature = "user")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::mem::{offset_of, size_of};

use spanwire_ebpf::{
    ABI_VERSION, Closed, Config, ControlHeader, Counter, DataHeader, Offset, Opened, ProcessEvent,
    Revoked, StreamCall, Struct, TcpState, Worker,
    insert::{Boundary, Inserted},
};
use zerocopy::IntoBytes;

#[test]
fn the_version_is_that_of_the_pinned_bytes() {
    assert_eq!(ABI_VERSION, 4);
}

#[test]
fn a_data_header_has_these_bytes() {
    let header = DataHeader {
        time: 0x0101_0101_0101_0101,
        connection: 0x0202_0202_0202_0202,
        position: 0x0303_0303_0303_0303,
        serving: 0x0404_0404_0404_0404,
        len: 0x0505_0505,
        began_before: 0x0606_0606,
        tgid: 0x0707_0707,
        tid: 0x0808_0808,
        head: 0x0909_0909,
        tail: 0x0a0a_0a0a,
        direction: 0x0b,
        no_data: 0x0c,
        flags: 0x0d0d,
        rule: 0x0e,
        absent: 0x0f,
        for_another: 0x10,
        reserved: 0x11,
        on_cpu: 0x1212_1212,
        reserved2: 0x1313_1313,
    };
    #[rustfmt::skip]
    let pinned = [
        1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4,
        5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 8, 8, 8, 8, 9, 9, 9, 9, 10, 10, 10, 10, 11, 12, 13, 13, 14, 15, 16, 17,
        18, 18, 18, 18, 19, 19, 19, 19,
    ];
    assert_eq!(header.as_bytes(), pinned);
}

#[test]
fn what_was_inserted_has_this_layout() {
    assert_eq!(
        (size_of::<Inserted>(), offset_of!(Inserted, position), offset_of!(Inserted, size)),
        (56, 24, 32)
    );
    assert_eq!(
        (offset_of!(Inserted, at), offset_of!(Inserted, len), offset_of!(Inserted, frame)),
        (36, 40, 44)
    );
    assert_eq!(offset_of!(Inserted, length), 48);
    assert_eq!((size_of::<Boundary>(), offset_of!(Boundary, known)), (32, 24));
}

#[test]
fn control_events_have_these_layouts() {
    assert_eq!(size_of::<ControlHeader>(), 16);
    assert_eq!(
        (size_of::<Opened>(), offset_of!(Opened, connection), offset_of!(Opened, socket)),
        (240, 16, 24)
    );
    assert_eq!(
        (offset_of!(Opened, peer_socket), offset_of!(Opened, inode), offset_of!(Opened, sent)),
        (32, 40, 48)
    );
    assert_eq!((offset_of!(Opened, received), offset_of!(Opened, local_address)), (56, 64));
    assert_eq!((offset_of!(Opened, remote_address), offset_of!(Opened, local_port)), (80, 96));
    assert_eq!((offset_of!(Opened, remote_port), offset_of!(Opened, family)), (98, 100));
    assert_eq!((offset_of!(Opened, tgid), offset_of!(Opened, netns)), (104, 108));
    assert_eq!(
        (offset_of!(Opened, parent), offset_of!(Opened, path_len), offset_of!(Opened, path)),
        (112, 116, 120)
    );
    assert_eq!((offset_of!(Opened, sent_origin), offset_of!(Opened, received_origin)), (228, 232));
    assert_eq!((size_of::<Closed>(), offset_of!(Closed, connection)), (24, 16));
    assert_eq!(
        (size_of::<TcpState>(), offset_of!(TcpState, old), offset_of!(TcpState, error)),
        (40, 24, 32)
    );
    assert_eq!((size_of::<ProcessEvent>(), offset_of!(ProcessEvent, comm)), (40, 24));
    assert_eq!((size_of::<Revoked>(), offset_of!(Revoked, tid)), (24, 20));
    assert_eq!(
        (size_of::<Worker>(), offset_of!(Worker, tasks), offset_of!(Worker, objects)),
        (88, 40, 64)
    );
    assert_eq!(
        (
            offset_of!(StreamCall, stream),
            offset_of!(StreamCall, serving),
            offset_of!(StreamCall, rule)
        ),
        (24, 32, 40)
    );
    assert_eq!(
        (size_of::<StreamCall>(), offset_of!(StreamCall, tasks), offset_of!(StreamCall, objects)),
        (96, 48, 72)
    );
}

#[test]
fn tables_are_in_the_order_of_their_numbers() {
    for (at, (counter, _)) in Counter::ALL.iter().enumerate() {
        assert_eq!(*counter as usize, at);
    }
    for (at, (offset, ..)) in Offset::ALL.iter().enumerate() {
        assert_eq!(*offset as usize, at);
    }
    assert!(Offset::ALL.len() <= Config::EMPTY.offsets.len());
    for (at, (number, _)) in Struct::ALL.iter().enumerate() {
        assert_eq!(*number as usize, at);
    }
}
