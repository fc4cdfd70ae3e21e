//! Listeners that are older than the agent: a walk over all sockets, once when the agent starts.

use spanwire_ebpf::config_flag;

use super::option::LISTENING;
use crate::{
    config,
    iterator::{Each, call_back, tcp_in},
};

/// `TCP_LISTEN`
const LISTEN: u8 = 10;

/// `iter/tcp`
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub(crate) extern "C" fn wire_listeners(each: *mut Each) -> i32 {
    if !config::has(config_flag::WIRE) {
        return 0;
    }
    unsafe {
        let tcp = tcp_in(LISTEN, each);
        if !tcp.is_null() {
            call_back(tcp, LISTENING);
        }
    }
    0
}
