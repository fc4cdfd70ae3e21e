//! Servers that give each request a thread of its own, though their sockets do not block.
//!
//! To the kernel they look like event loops that poll, so they have to be known by name; any other is taken for a loop. What
//! is on this list must never serve two requests at a time with one thread: a server that may be told to is not.

use crate::service::ProcessFacts;
use crate::service::naming::{self, base_name, executable};

/// Apache httpd, whatever its processing module: APR makes all sockets non-blocking, and a worker serves one request to its end.
const APACHE: [&str; 3] = ["apache2", "httpd", "httpd.worker"];
/// Servers of Ruby programs. Of Puma's requests only those whose head its reactor did not wait for.
const RUBY: [&str; 3] = ["puma", "unicorn", "unicorn_rails"];
/// Words of a command line in which a server's name is looked for: an interpreter, perhaps an option, and its script.
const WORDS: usize = 4;

/// Whether the process is such a server.
pub(super) fn serve(facts: &ProcessFacts) -> bool {
    if APACHE.contains(&base_name(executable(facts))) {
        return true;
    }
    naming::language(facts) == "ruby"
        && facts.arguments.iter().take(WORDS).any(|word| {
            // A script, or the title that the server has given itself: `puma 5.6.5 (tcp://…)`, `unicorn worker[0] …`.
            let name = word.split([' ', ':']).next().unwrap_or_default();
            RUBY.contains(&base_name(name))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(exe: &str, arguments: &[&str]) -> bool {
        serve(&ProcessFacts {
            exe: exe.to_owned(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            ..ProcessFacts::default()
        })
    }

    #[test]
    fn servers_are_known_by_name() {
        assert!(served("/usr/sbin/apache2", &["/usr/sbin/apache2", "-k", "start"]));
        let ruby = |arguments: &[&str]| served("/usr/bin/ruby3.1", arguments);
        assert!(ruby(&["/usr/bin/ruby3.1", "/usr/bin/puma", "-p", "80"]));
        assert!(ruby(&["puma 5.6.5 (tcp://0.0.0.0:9292) [shop]"]));
        assert!(ruby(&["puma: cluster worker 0: 17 [shop]"]));
        assert!(ruby(&["unicorn master -c config.rb"]));
        assert!(ruby(&["ruby", "bin/unicorn_rails", "-D"]));
        // Whoever may be told to use any of them.
        assert!(!ruby(&["ruby", "bin/rails", "server"]));
        assert!(!ruby(&["ruby", "thin", "start"]));
        assert!(!served("/usr/bin/node", &["node", "puma"]));
        assert!(!served("", &[]));
    }
}
