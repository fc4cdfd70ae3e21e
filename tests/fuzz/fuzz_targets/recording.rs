//! A recording of any bytes, read and fed through the whole pipeline: an error or an end, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwire::pipeline::Pipeline;
use spanwire::record::Reader;
use spanwire::trace::{FinishedSpan, Settings};

fuzz_target!(|bytes: &[u8]| {
    let Ok(reader) = Reader::new(bytes) else { return };
    let mut pipeline = Pipeline::new(reader.header().seed, Settings::default());
    let mut spans = Vec::new();
    for input in reader {
        let Ok(input) = input else { break };
        pipeline.feed(input, &mut spans);
    }
    pipeline.finish(&mut spans);
    for span in spans.into_iter().map(FinishedSpan::from) {
        assert_eq!((span.span.trace_id.len(), span.span.span_id.len()), (16, 8));
        assert!(span.span.end_time_unix_nano >= span.span.start_time_unix_nano);
    }
});
