//! Answers in Jaeger's words.

use super::*;
use crate::export::sample;
use crate::viewer::sample::{BEGIN, MS, checkout};
use crate::viewer::store::Limits;

fn viewer() -> Viewer {
    let viewer = Viewer::new(Limits::default());
    for id in 1..=3_u64 {
        let sample = checkout(id.into()).later(id * 1_000 * MS);
        viewer.store().take(sample::request(sample.spans), BEGIN);
    }
    viewer
}

fn ask(path: &str, query: &str) -> Json {
    let now = BEGIN + 60_000 * MS;
    match viewer().answer(path, query, now).expect("Jaeger has it") {
        Ok(json) => json["data"].clone(),
        Err(refused) => refused.body["errors"][0]["code"].clone(),
    }
}

#[test]
fn services_operations_and_dependencies() {
    assert_eq!(ask("/api/services", ""), json!(["edge", "inventory", "orders", "payments"]));
    assert_eq!(ask("/api/services/payments/operations", ""), json!(["Charge", "POST"]));
    assert_eq!(
        ask("/api/operations", "service=payments&spanKind=server"),
        json!([{ "name": "Charge", "spanKind": "server" }])
    );
    let dependencies = ask("/api/dependencies", "lookback=3600000");
    assert_eq!(dependencies.as_array().unwrap().len(), 3);
    assert_eq!(dependencies[2], json!({ "parent": "orders", "child": "payments", "callCount": 6 }));
}

#[test]
fn traces_by_every_parameter() {
    let count = |query: &str| ask("/api/traces", query).as_array().map(Vec::len);
    assert_eq!(count("service=payments"), Some(3));
    assert_eq!(count("service=payments&limit=2"), Some(2));
    assert_eq!(count("service=nobody"), Some(0));
    assert_eq!(count("service=payments&operation=Charge"), Some(3));
    assert_eq!(count("service=payments&operation=Refund"), Some(0));
    assert_eq!(count("service=edge&tags=%7B%22user.id%22%3A%2242%22%7D"), Some(3));
    assert_eq!(count("service=edge&tags=%7B%22user.id%22%3A%2243%22%7D"), Some(0));
    assert_eq!(count("service=edge&tags=%7B%22error%22%3A%22true%22%7D"), Some(3));
    assert_eq!(count("service=edge&minDuration=499ms"), Some(3));
    assert_eq!(count("service=edge&minDuration=501ms"), Some(0));
    assert_eq!(count("service=edge&maxDuration=1s"), Some(3));
    let from = (BEGIN + 2_000 * MS) / 1_000;
    assert_eq!(count(&format!("service=edge&start={from}")), Some(2));
    assert_eq!(count("traceID=1&traceID=2&traceID=9"), Some(2));
    assert_eq!(ask("/api/traces", "service=edge&tags=%7B"), 400);
    assert_eq!(ask("/api/traces", ""), 400);
    assert_eq!(ask("/api/traces", "service=edge&limit=many"), 400);
    assert_eq!(ask("/api/traces", "service=edge&minDuration=2s&maxDuration=1s"), 400);
    assert_eq!(ask("/api/traces/77", ""), 404);
    assert_eq!(ask("/api/traces/xyz", ""), 400);
}

#[test]
fn a_trace_has_jaegers_shape() {
    let trace = &ask("/api/traces/1", "")[0];
    assert_eq!(trace["traceID"], format!("{:032x}", 1));
    let spans = trace["spans"].as_array().unwrap();
    let charge = spans.iter().find(|span| span["spanID"] == "0000000000000029").unwrap();
    assert_eq!(charge["operationName"], "Charge");
    assert_eq!(charge["startTime"], (BEGIN + 1_272 * MS) / 1_000);
    assert_eq!(charge["duration"], 76_000);
    assert_eq!(charge["references"][0]["spanID"], "0000000000000028");
    let tag =
        |key: &str| charge["tags"].as_array().unwrap().iter().find(|t| t["key"] == key).cloned();
    assert_eq!(tag("span.kind").unwrap()["value"], "server");
    assert_eq!(tag("error").unwrap(), json!({ "key": "error", "type": "bool", "value": true }));
    let process = charge["processID"].as_str().unwrap();
    assert_eq!(trace["processes"][process]["serviceName"], "payments");
}

#[test]
fn the_newer_api_tells_the_same() {
    let ask = |path: &str, query: &str| match viewer()
        .answer(path, query, BEGIN + 60_000 * MS)
        .expect("Jaeger has it")
    {
        Ok(json) => json,
        Err(refused) => refused.body["error"]["httpCode"].clone(),
    };
    let services = json!({ "services": ["edge", "inventory", "orders", "payments"] });
    assert_eq!(ask("/api/v3/services", ""), services);
    let operations = json!({ "operations": [{ "name": "Charge", "spanKind": "server" }] });
    assert_eq!(ask("/api/v3/operations", "service=payments&span_kind=server"), operations);
    // 2023-11-14T22:13:20Z is when the samples begin.
    let range =
        "query.start_time_min=2023-11-14T22:13:20Z&query.start_time_max=2023-11-14T22:13:22.5Z";
    let found = ask("/api/v3/trace-summaries", &format!("query.service_name=edge&{range}"));
    let [newest, oldest] = found["summaries"].as_array().unwrap().as_slice() else {
        panic!("{found}")
    };
    assert_eq!(newest["traceId"], format!("{:032x}", 2));
    assert_eq!(
        (&oldest["rootServiceName"], &oldest["rootOperationName"]),
        (&json!("edge"), &json!("POST /checkout"))
    );
    assert_eq!(oldest["minStartTimeUnixNano"], (BEGIN + 1_000 * MS).to_string());
    assert_eq!(oldest["maxEndTimeUnixNano"], (BEGIN + 1_500 * MS).to_string());
    assert_eq!((&oldest["errorSpanCount"], &oldest["orphanSpanCount"]), (&json!(9), &json!(0)));
    assert_eq!(
        oldest["services"][3],
        json!({ "name": "payments", "spanCount": 4, "errorSpanCount": 4 })
    );
    let camel = "query.serviceName=edge&query.spanName=POST%20%2Fcheckout&query.numTraces=1&query.durationMin=100ms";
    let found = ask("/api/v3/trace-summaries", camel);
    assert_eq!(found["summaries"].as_array().map(Vec::len), Some(1));
    let spans = |of: &Json| {
        let of = of["result"]["resourceSpans"].as_array().unwrap().clone();
        of.iter().map(|r| r["scopeSpans"][0]["spans"].as_array().map_or(0, Vec::len)).sum::<usize>()
    };
    let one = spans(&ask("/api/v3/traces/1", ""));
    assert_eq!(spans(&ask("/api/v3/traces", "query.service_name=edge")), 3 * one);
    assert_eq!(ask("/api/v3/traces/77", ""), 404);
    assert_eq!(ask("/api/v3/traces/xyz", ""), 400);
    assert_eq!(ask("/api/v3/traces", "query.service_name=nobody"), 404);
    assert_eq!(ask("/api/v3/trace-summaries", ""), 400);
    assert_eq!(
        ask("/api/v3/trace-summaries", "query.service_name=edge&query.start_time_min=soon"),
        400
    );
}
