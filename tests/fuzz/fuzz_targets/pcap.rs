//! A packet capture of any bytes, read and fed through the whole pipeline: an error or an end, never a panic.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use spanwire::pcap::Capture;
use spanwire::pipeline::Pipeline;
use spanwire::trace::{FinishedSpan, Settings};

fuzz_target!(|bytes: &[u8]| {
    let Ok(capture) = Capture::new(Cursor::new(bytes.to_vec())) else { return };
    let mut pipeline = Pipeline::new(capture.seed(), Settings::default());
    let mut spans = Vec::new();
    for input in capture {
        let Ok(input) = input else { break };
        pipeline.feed(input, &mut spans);
    }
    pipeline.finish(&mut spans);
    for span in spans.into_iter().map(FinishedSpan::from) {
        assert_eq!((span.span.trace_id.len(), span.span.span_id.len()), (16, 8));
        assert!(span.span.end_time_unix_nano >= span.span.start_time_unix_nano);
    }
});
