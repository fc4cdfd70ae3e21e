//! OTLP/JSON: one export request a line, as `replay FILE --json` prints it and any OTLP file reader takes it.
//!
//! Ids are hex, enums are numbers, 64-bit numbers are strings (OTLP, "JSON Protobuf Encoding"). The output is a pure
//! function of the spans and their order.

use std::io::{self, Write};

use super::{EncodedSpan, batch};

/// Spans in one line. Bounds the memory a reader of a line needs (about 1 KiB a span).
const SPANS_A_LINE: usize = 1_000;

/// Writes all of `spans`, in lines of at most 1,000 spans; nothing for none.
///
/// # Errors
/// What `out` says.
pub fn write_lines(out: &mut impl Write, spans: &[EncodedSpan]) -> io::Result<()> {
    for spans in spans.chunks(SPANS_A_LINE) {
        out.write_all(&body(spans)?)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// One request's JSON, without a line end.
fn body(spans: &[EncodedSpan]) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&batch::message(spans))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample;
    use opentelemetry_proto::tonic::common::v1::{
        AnyValue, ArrayValue, KeyValue, any_value::Value,
    };
    use opentelemetry_proto::tonic::trace::v1::span::Link;
    use opentelemetry_proto::tonic::trace::v1::{Status, status::StatusCode};

    #[test]
    fn a_line_is_what_otlp_json_demands() {
        let mut span = sample::outgoing(&sample::service("shop"), "spanwire/http1", 0xab);
        span.span.parent_span_id = vec![0, 0, 0, 0, 0, 0, 0, 0xcd];
        span.span.flags = 0x101;
        span.span.attributes = vec![
            sample::number("http.response.status_code", 9_007_199_254_740_993),
            KeyValue {
                key: "http.request.header.accept".to_owned(),
                value: Some(AnyValue {
                    value: Some(Value::ArrayValue(ArrayValue {
                        values: vec![
                            AnyValue { value: Some(Value::StringValue("a".to_owned())) },
                            AnyValue { value: Some(Value::IntValue(2)) },
                        ],
                    })),
                }),
                ..KeyValue::default()
            },
        ];
        span.span.links =
            vec![Link { trace_id: vec![0x11; 16], span_id: vec![0x22; 8], ..Link::default() }];
        span.span.status = Some(Status { message: String::new(), code: StatusCode::Error.into() });
        let mut out = Vec::new();
        write_lines(&mut out, &[span.into()]).unwrap();
        assert_eq!(out.iter().filter(|&&b| b == b'\n').count(), 1);
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let scope = &json["resourceSpans"][0]["scopeSpans"][0];
        assert_eq!(scope["schemaUrl"], crate::export::SCHEMA_URL);
        let span = &scope["spans"][0];
        assert_eq!(span["traceId"], "00000000000000000000000000000007");
        assert_eq!(span["spanId"], "00000000000000ab");
        assert_eq!(span["parentSpanId"], "00000000000000cd");
        assert_eq!(span["kind"], 2);
        assert_eq!(span["flags"], 257);
        assert_eq!(span["startTimeUnixNano"], "1700000000000000171");
        assert_eq!(span["status"]["code"], 2);
        assert_eq!(span["links"][0]["traceId"], "11".repeat(16));
        assert_eq!(span["attributes"][0]["value"]["intValue"], "9007199254740993");
        let array = &span["attributes"][1]["value"]["arrayValue"]["values"];
        assert_eq!(array[0]["stringValue"], "a");
        assert_eq!(array[1]["intValue"], "2");
    }

    #[test]
    fn long_input_is_cut_into_lines_and_none_is_lost() {
        let resource = sample::service("shop");
        let spans: Vec<_> =
            (1..=2_500).map(|i| sample::outgoing(&resource, "spanwire/http1", i).into()).collect();
        let mut out = Vec::new();
        write_lines(&mut out, &spans).unwrap();
        let mut again = Vec::new();
        write_lines(&mut again, &spans).unwrap();
        assert_eq!(out, again);
        let sizes: Vec<usize> = out
            .split_inclusive(|&b| b == b'\n')
            .map(|line| {
                let json: serde_json::Value = serde_json::from_slice(line).unwrap();
                json["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().len()
            })
            .collect();
        assert_eq!(sizes, [1_000, 1_000, 500]);
        let mut none = Vec::new();
        write_lines(&mut none, &[]).unwrap();
        assert!(none.is_empty());
    }
}
