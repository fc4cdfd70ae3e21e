//! Names of systemd units: what operators type behind `systemctl restart`.

use super::{is_generic, is_runtime, python, script};

/// Units that start whatever they are told to: their name says nothing of it.
const STARTERS: [&str; 10] = [
    "anacron",
    "atd",
    "cron",
    "crond",
    "monit",
    "pm2",
    "rc-local",
    "runit",
    "supervisor",
    "supervisord",
];

/// The service that a unit is, if its name says so: `shop`, `worker` for `worker@1`, `shop` for `gunicorn@shop`, and
/// `mail@out` where both halves tell something.
pub(super) fn name(unit: &str) -> Option<String> {
    let Some((template, instance)) = unit.split_once('@') else {
        return says_something(unit).then(|| unit.to_owned());
    };
    let is_number = instance.bytes().all(|byte| byte.is_ascii_digit());
    match (says_something(template), !is_number && says_something(instance)) {
        (true, true) => Some(unit.to_owned()),
        (true, false) => Some(template.to_owned()),
        (false, true) => Some(instance.to_owned()),
        (false, false) => None,
    }
}

fn says_something(name: &str) -> bool {
    // `pm2-root` starts what root told it to.
    let starter = name.split_once('-').map_or(name, |(starter, _)| starter);
    !name.is_empty()
        && !is_generic(name)
        && !is_runtime(name)
        && !python::is_server(name)
        && !script::is_runner(name)
        && !STARTERS.contains(&starter)
        && !STARTERS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_name_services_unless_they_name_what_runs_them() {
        for (unit, expected) in [
            ("shop", Some("shop")),
            ("nginx-edge", Some("nginx-edge")),
            ("php8.2-fpm", Some("php8.2-fpm")),
            ("postgresql@15-main", Some("postgresql@15-main")),
            ("worker@1", Some("worker")),
            ("gunicorn@shop", Some("shop")),
            ("gunicorn@1", None),
            ("gunicorn", None),
            ("node", None),
            ("python3", None),
            ("puma", None),
            ("app", None),
            ("pm2-root", None),
            ("supervisor", None),
            ("cron", None),
            ("@", None),
        ] {
            assert_eq!(name(unit).as_deref(), expected, "{unit}");
        }
    }
}
