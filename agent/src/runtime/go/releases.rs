//! Layouts that go by the releases of a module: tables that `cargo xtask go-offsets` writes, each row true from its release up to that
//! of the next.

/// A release's three numbers.
pub(super) type Release = (u32, u32, u32);

/// Of `1.76.0`, with a `v` before it or without, and whatever behind it.
pub(super) fn release(version: &str) -> Option<Release> {
    let mut numbers = version.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?, next()?))
}

/// The columns of a table, without that of the releases.
pub(super) fn columns(table: &str) -> impl Iterator<Item = &str> {
    let names = table.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    names.split(' ').skip(1)
}

/// A table in order. `row` makes one of what finds the cells of its columns.
pub(super) fn parse<T>(
    table: &str,
    row: impl Fn(&dyn Fn(&str) -> Option<u64>) -> Option<T>,
) -> Vec<(Release, T)> {
    let mut lines = table.lines().filter(|line| !line.starts_with('#'));
    let names: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let read = |line: &str| {
        let cells: Vec<&str> = line.split(' ').collect();
        let at = |name: &str| -> Option<u64> {
            cells.get(names.iter().position(|known| *known == name)?)?.parse().ok()
        };
        Some((release(cells.first()?)?, row(&at)?))
    };
    lines.filter_map(read).collect()
}

/// The layout of a release: that of the last row up to it. Of later minor versions than the last nothing is known.
pub(super) fn layout<T: Copy>(table: &[(Release, T)], release: Release) -> Option<T> {
    let (last, _) = table.last()?;
    let (_, layout) = table.iter().rfind(|(since, _)| *since <= release)?;
    ((release.0, release.1) <= (last.0, last.1)).then_some(*layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_numbers() {
        assert_eq!(release("v1.76.0"), Some((1, 76, 0)));
        assert_eq!(release("v1.60.2-0.20231201-abcdef"), Some((1, 60, 2)));
        assert_eq!(release("v0.0.0-20220722155237-a158d28d115b"), Some((0, 0, 0)));
        assert_eq!(release("(devel)"), None);
    }

    #[test]
    fn a_row_is_true_up_to_the_next_and_the_last_for_its_minor_version() {
        let table = parse("# a\nversion a b\n0.2.0 7 -\n0.4.1 8 9\n", |at| at("a"));
        assert_eq!(table, [((0, 2, 0), 7), ((0, 4, 1), 8)]);
        let of = |release| layout(&table, release);
        assert_eq!((of((0, 1, 9)), of((0, 2, 0)), of((0, 4, 0))), (None, Some(7), Some(7)));
        assert_eq!((of((0, 4, 7)), of((0, 5, 0)), of((1, 4, 0))), (Some(8), None, None));
        assert!(parse("version a b\n0.2.0 7 -\n", |at| at("b")).is_empty());
    }
}
