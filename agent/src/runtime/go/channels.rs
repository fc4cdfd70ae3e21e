//! Where a program's own functions send to channels and receive from them: probes there tell whose work a goroutine gets.
//!
//! Its own are those of the modules that were built from sources at hand. What libraries send among themselves (connections of a pool, frames for one that writes) is no
//! work of the program's.

use super::{
    binary::Binary,
    code::Code,
    functions::{Function, Functions},
};
use crate::runtime::traps::{Place, Trap};

/// What sends,
const SEND: &str = "runtime.chansend1";
/// and what receives. A `select` does both by other functions.
const RECEIVE: [&str; 2] = ["runtime.chanrecv1", "runtime.chanrecv2"];

/// The places; none if it does not do both.
pub(super) fn of(binary: &Binary, functions: &Functions, code: &Code) -> Vec<Place> {
    let start = |name: &str| functions.named(name).map(|function| function.start);
    let Some(send) = start(SEND) else { return Vec::new() };
    let receive = RECEIVE.map(start);
    let receives = |address| receive.contains(&Some(address));
    let modules = binary.own_modules();
    let own = |function: &Function<'_>| is_own(function.name, &modules);
    let mut places = Vec::new();
    let mut put = |trap, address| {
        places.extend(binary.place(address).map(|offset| Place { trap, offset }));
    };
    for function in functions.iter().filter(own) {
        for (at, returns, calls) in code.sites(function, |it| it == send || receives(it)) {
            if calls == send {
                put(Trap::GoSend, at);
            } else {
                put(Trap::GoReceive, at);
                put(Trap::GoReceived, returns);
            }
        }
    }
    let has = |trap| places.iter().any(|place| place.trap == trap);
    if has(Trap::GoSend) && has(Trap::GoReceive) { places } else { Vec::new() }
}

/// Whether a function of that name is of the main package, or of one of these modules.
fn is_own(name: &str, modules: &[&str]) -> bool {
    let of =
        |module: &&str| name.strip_prefix(*module).is_some_and(|it| it.starts_with(['.', '/']));
    name.starts_with("main.") || modules.iter().any(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_are_those_of_its_module() {
        let modules = ["example.com/shop", "till"];
        assert!(is_own("main.worker", &modules));
        assert!(is_own("example.com/shop/work.(*pool).run", &modules));
        assert!(is_own("till.run", &modules));
        assert!(!is_own("example.com/shopping.run", &modules));
        assert!(!is_own("net/http.(*conn).serve", &modules));
        assert!(!is_own("net/http.(*conn).serve", &[]));
    }
}
