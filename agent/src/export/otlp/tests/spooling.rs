//! The exporter with a spool: what an outage, a restart or a bad disk does to spans.

use std::path::Path;

use super::*;

/// As [`exporter`], with a spool in that folder.
fn spooling(
    protocol: Protocol,
    address: std::net::SocketAddr,
    folder: &Path,
    extra: &[(&str, &str)],
) -> Exporter {
    let folder = folder.to_str().unwrap();
    let mut vars =
        vec![("SPANWIRE_SPOOL_DIRECTORY", folder), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")];
    vars.extend(extra);
    exporter(protocol, address, &vars)
}

/// An address on which nobody listens until [`Server::on`] does.
fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn on(address: std::net::SocketAddr, protocol: Protocol) -> Server {
    Server::on(TcpListener::bind(address).unwrap(), protocol == Protocol::Grpc, vec![])
}

fn arrived(server: &Server) -> Vec<u8> {
    let mut got: Vec<u8> = server.rest().into_iter().flat_map(|got| got.spans).collect();
    got.sort_unstable();
    got
}

#[test]
fn an_outage_goes_to_disk_and_not_into_the_queue() {
    for protocol in EVERY {
        let folder = tempfile::tempdir().unwrap();
        let address = nobody();
        let spool = folder.path().join("spool");
        // The queue alone would hold no more than a fifth of it.
        let exporter = spooling(protocol, address, &spool, &[("OTEL_BSP_MAX_QUEUE_SIZE", "20")]);
        for n in 0..10 {
            exporter.offer(spans(n * 10 + 1..=n * 10 + 10));
            until(&exporter, |t| t.spooled == (n + 1) * 10);
        }
        let totals = exporter.totals();
        assert_eq!((totals.dropped_queue_full, totals.waiting, sum(&totals)), (0, 0, 100));
        let server = on(address, protocol);
        let totals = until(&exporter, |t| t.sent == 100);
        assert_eq!((totals.spooled, sum(&totals)), (0, 100), "{protocol}");
        assert_eq!(arrived(&server), (1..=100).collect::<Vec<u8>>());
    }
}

#[test]
fn what_was_not_sent_is_sent_by_the_next_run() {
    for protocol in EVERY {
        let folder = tempfile::tempdir().unwrap();
        let address = nobody();
        let first = spooling(protocol, address, folder.path(), &[]);
        first.offer(spans(1..=95));
        until(&first, |t| t.failed_attempts >= 1);
        // Nothing is waited for that the next run can send.
        let began = now();
        let totals = first.shutdown(Duration::from_secs(3_600));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!((totals.spooled, totals.dropped_shutdown, totals.waiting), (95, 0, 0));
        let server = on(address, protocol);
        let second = spooling(protocol, address, folder.path(), &[]);
        second.offer(spans(96..=100));
        let totals = until(&second, |t| t.sent == 100);
        assert_eq!((totals.recovered, totals.offered, sum(&totals)), (95, 5, 100));
        assert_eq!(arrived(&server), (1..=100).collect::<Vec<u8>>(), "{protocol}");
        assert_eq!(second.shutdown(Duration::from_secs(5)).spooled, 0);
    }
}

#[test]
fn the_oldest_is_dropped_and_counted_when_the_spool_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let address = nobody();
    let exporter = spooling(
        Protocol::HttpProtobuf,
        address,
        folder.path(),
        // Room for a few batches: spans alike compress well.
        &[("SPANWIRE_SPOOL_MAX_BYTES", "2000")],
    );
    for n in 0..20 {
        exporter.offer(spans(n * 10 + 1..=n * 10 + 10));
        until(&exporter, |t| t.waiting == 0);
    }
    let totals = exporter.totals();
    assert!(totals.dropped_spool_full > 0 && totals.spooled > 0, "{totals:?}");
    assert_eq!(sum(&totals), 200);
    let server = on(address, Protocol::HttpProtobuf);
    let kept = totals.spooled;
    until(&exporter, |t| t.sent == kept);
    let got = arrived(&server);
    // The batch that was being sent, and the newest.
    assert_eq!(got.len() as u64, kept);
    assert!(got.contains(&1) && got.contains(&200) && !got.contains(&11));
}

#[test]
fn refused_for_good_leaves_the_disk_too() {
    let folder = tempfile::tempdir().unwrap();
    let script = vec![Reply::Http(503, vec![]), Reply::Http(400, vec![])];
    let server = Server::start(false, script);
    let exporter = spooling(Protocol::HttpProtobuf, server.address, folder.path(), &[]);
    exporter.offer(spans(1..=10));
    let totals = until(&exporter, |t| t.refused == 10);
    assert_eq!((totals.spooled, totals.sent), (0, 0));
    exporter.offer(spans(11..=20));
    until(&exporter, |t| t.sent == 10);
}

#[test]
fn a_disk_that_cannot_be_written_leaves_the_queue_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let address = nobody();
    let spool = folder.path().join("spool");
    let exporter =
        spooling(Protocol::HttpProtobuf, address, &spool, &[("OTEL_BSP_MAX_QUEUE_SIZE", "50")]);
    std::fs::remove_dir_all(&spool).unwrap();
    exporter.offer(spans(1..=10));
    until(&exporter, |t| t.spool_failures >= 1);
    exporter.offer(spans(11..=100));
    let totals = until(&exporter, |t| t.dropped_queue_full > 0);
    assert_eq!((totals.spooled, sum(&totals)), (0, 100));
    let server = on(address, Protocol::HttpProtobuf);
    let kept = 100 - totals.dropped_queue_full;
    until(&exporter, |t| t.sent == kept);
    assert_eq!(arrived(&server).len() as u64, kept);
}

#[test]
fn a_spool_in_use_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(false, vec![]);
    let _first = spooling(Protocol::HttpProtobuf, server.address, folder.path(), &[]);
    let folder = folder.path().to_str().unwrap();
    let second =
        config(Protocol::HttpProtobuf, server.address, &[("SPANWIRE_SPOOL_DIRECTORY", folder)]);
    let error = Exporter::start(&second).unwrap_err().to_string();
    assert!(error.contains("another agent"), "{error}");
}
