//! Requests by when they began and how long they took: the cells of the latency picture.

use std::collections::BTreeMap;

use super::red::Window;
use super::requests::Request;

/// Most columns.
pub(crate) const COLUMNS: usize = 96;
/// Rows for a factor of two.
const ROWS: f64 = 4.0;

/// Requests and errors in each cell that has any, by column and row. Row `r` is from `2^(r/4)` µs on.
pub(crate) type Cells = BTreeMap<(u32, i32), (u32, u32)>;

/// The picture.
#[derive(Debug)]
pub(crate) struct Heat {
    pub(crate) columns: usize,
    pub(crate) cells: Cells,
}

/// Which row a duration is in.
pub(crate) fn row(duration: u64) -> i32 {
    // Exact powers of two must not fall into the row below.
    ((duration.max(1) as f64 / 1e3).log2() * ROWS + 1e-9).floor() as i32
}

/// The cells of these requests.
pub(crate) fn heat(requests: impl Iterator<Item = Request>, window: Window) -> Heat {
    // A column is no narrower than a second.
    let columns = (window.seconds() as usize).clamp(1, COLUMNS);
    let mut cells = Cells::new();
    for request in requests.filter(|request| window.has(request.start)) {
        let column = window.part(request.start, columns) as u32;
        let cell = cells.entry((column, row(request.duration))).or_default();
        cell.0 += 1;
        cell.1 += u32::from(request.failed);
    }
    Heat { columns, cells }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_count_requests() {
        let window = Window { from: 0, to: 10_000_000_000 };
        let request = |start: u64, duration, failed| Request {
            span: 0,
            start: start * 1_000_000,
            duration,
            failed,
        };
        let heat = heat(
            [
                request(500, 1_024_000, false),
                request(999, 1_100_000, true),
                request(1_000, 1_024_000, false),
                request(20_000, 1_024_000, false),
            ]
            .into_iter(),
            window,
        );
        assert_eq!(heat.columns, 10);
        assert_eq!(heat.cells, Cells::from([((0, 40), (2, 1)), ((1, 40), (1, 0))]));
        assert_eq!(row(2_048_000), 44);
        assert_eq!(row(1), -40);
    }
}
