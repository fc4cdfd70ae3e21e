//! What a connection can make us hold, and what is told when that is too much.
#![forbid(unsafe_code)]

use super::reading::Reading;
use crate::conn::Loss;
use crate::exchange::{Failure, Report};
use crate::protocols::Body;
use crate::protocols::http2::notation::frames;
use crate::protocols::http2::stream::Part;

fn begun() -> Reading {
    let mut reading = Reading::new(false, false);
    reading.piece(Part::Request, Body::Bytes(&frames("PREFACE; SETTINGS")));
    reading.piece(Part::Answer, Body::Bytes(&frames("SETTINGS; ACK")));
    reading
}

fn unseen(reading: &Reading) -> usize {
    let is_unseen = |report: &&Report| matches!(report, Report::Finished(done) if done.failure == Some(Failure::Unseen));
    reading.reports.iter().filter(is_unseen).count()
}

#[test]
fn the_oldest_of_too_many_streams_are_told_as_unseen() {
    let mut reading = begun();
    for n in 0..12_000 {
        let request = format!("HEADERS {} end #2 #6 :path=/{n}", 2 * n + 1);
        reading.piece(Part::Request, Body::Bytes(&frames(&request)));
    }
    let forgotten = reading.losses.count(Loss::Streams);
    assert!(forgotten >= 2000, "{forgotten}");
    assert_eq!(unseen(&reading) as u64, forgotten);
    // The last of them is open.
    reading.piece(Part::Answer, Body::Bytes(&frames("HEADERS 23999 end #8")));
    let Some(Report::Finished(done)) = reading.reports.last() else { panic!("not answered") };
    assert_eq!(done.failure, None);
    reading.end();
    assert_eq!(reading.reports.len(), 24_000);
}

#[test]
fn long_heads_and_endless_trailers_are_bounded() {
    let mut reading = begun();
    let long = "x".repeat(120);
    for n in 0..300 {
        let fields = format!(" user-agent={long}").repeat(40);
        let request = format!("HEADERS {} end #2 #6 :path=/{long}{fields}", 2 * n + 1);
        reading.piece(Part::Request, Body::Bytes(&frames(&request)));
    }
    for _ in 0..300 {
        let trailers = format!("HEADERS 599 {}", format!(" grpc-message={long}").repeat(40));
        reading.piece(Part::Answer, Body::Bytes(&frames(&trailers)));
    }
    reading.end();
    assert_eq!(reading.reports.len(), 600);
}

#[test]
fn a_block_without_end_is_as_good_as_lost() {
    let mut reading = begun();
    reading.piece(Part::Request, Body::Bytes(&frames("HEADERS 1 open end #2 #6 :path=/1")));
    for _ in 0..2000 {
        let more = format!("CONTINUATION 1 open +a={}", "x".repeat(100));
        reading.piece(Part::Request, Body::Bytes(&frames(&more)));
    }
    reading.piece(Part::Request, Body::Bytes(&frames("CONTINUATION 1; HEADERS 3 end #2 #6 #62")));
    assert_eq!(reading.losses.count(Loss::HeaderBlock), 1);
    assert_eq!(reading.reports.len(), 2);
    reading.end();
    let paths: Vec<_> = reading
        .reports
        .iter()
        .filter_map(|report| match report {
            Report::Finished(done) => Some(format!("{:?}", done.call)),
            Report::Started(_) => None,
        })
        .collect();
    assert!(paths[0].contains("target: Some(\"/1\")"), "{}", paths[0]);
    assert!(paths[1].contains("target: None"), "{}", paths[1]);
}

#[test]
fn pieces_that_may_be_frames_wait_in_bounds() {
    let mut reading = begun();
    reading.piece(Part::Request, Body::Gap(100));
    for _ in 0..500 {
        // Never a whole frame, and never a contradiction.
        reading.piece(Part::Request, Body::Bytes(b"\0\x0f\xff\0\0\0\0\0\x01"));
        reading.piece(Part::Request, Body::Bytes(&[0; 4000]));
    }
    assert!(reading.reports.is_empty());
    for n in 0..20 {
        let request = format!("HEADERS {} end #2 #6 :path=/{n}", 2 * n + 1);
        reading.piece(Part::Request, Body::Bytes(&frames(&request)));
    }
    // The first of them may lie in the DATA that was announced.
    assert!(reading.reports.len() >= 10, "{}", reading.reports.len());
}

#[test]
fn answers_without_requests_do_not_stay() {
    let mut reading = begun();
    for n in 0..200_000u32 {
        let answer = format!("HEADERS {} end #8", 2 * n + 1);
        reading.piece(Part::Answer, Body::Bytes(&frames(&answer)));
    }
    // 200 ms of them came, and none waits longer than 100.
    assert!(reading.losses.count(Loss::Unpaired) >= 90_000);
    assert_eq!(reading.reports.len(), 0);
}
