//! The variables, rule by rule.

use super::*;

fn read(vars: &[(&str, &str)]) -> Choice {
    choose(&|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
}

fn config(vars: &[(&str, &str)]) -> (Config, Vec<Wrong>) {
    let mut all = vec![("OTEL_TRACES_EXPORTER", "otlp")];
    all.extend(vars);
    let choice = read(&all);
    (choice.otlp.unwrap(), choice.wrong)
}

#[test]
fn nothing_set_leaves_the_choice_open() {
    let choice = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("OTEL_TRACES_EXPORTER", " ")]);
    assert!(choice.otlp.is_none() && !choice.console && !choice.none);
    assert!(choice.wrong.is_empty());
}

#[test]
fn an_endpoint_alone_means_otlp_and_a_name_wins() {
    assert!(read(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:1/x")]).otlp.is_some());
    let console =
        read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), ("OTEL_TRACES_EXPORTER", "Console")]);
    assert!(console.otlp.is_none() && console.console);
    let none =
        read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), ("OTEL_TRACES_EXPORTER", "none")]);
    assert!(none.otlp.is_none() && none.none);
    let both = read(&[("OTEL_TRACES_EXPORTER", "otlp, console,zipkin")]);
    assert!(both.otlp.is_some() && both.console);
    assert_eq!(both.wrong.len(), 1);
}

#[test]
fn defaults_are_the_standards() {
    let (config, wrong) = config(&[]);
    assert_eq!(config.protocol, Protocol::HttpProtobuf);
    assert_eq!(config.endpoint.to_string(), "http://localhost:4318/v1/traces");
    assert_eq!(config.timeout, Duration::from_secs(10));
    assert!(!config.gzip && config.headers.is_empty());
    assert_eq!(config.limits, Limits::default());
    assert!(wrong.is_empty() && config.spool.is_none());
}

#[test]
fn the_signals_form_wins_and_its_url_is_used_as_is() {
    let (config, _) = config(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:1"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://own:2"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1500"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "GZIP"),
    ]);
    assert_eq!(config.endpoint.to_string(), "https://own:2/");
    assert_eq!(config.timeout, Duration::from_millis(1_500));
    assert!(config.gzip);
}

#[test]
fn grpc_has_its_own_default_and_rules() {
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "gRPC");
    let endpoint = |extra: &[(&str, &str)]| {
        let mut vars = vec![grpc];
        vars.extend(extra);
        config(&vars).0.endpoint.to_string()
    };
    assert_eq!(endpoint(&[]), "http://localhost:4317/");
    let c = ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:9");
    assert_eq!(endpoint(&[c]), "https://c:9/");
    assert_eq!(endpoint(&[c, ("OTEL_EXPORTER_OTLP_INSECURE", "True")]), "http://c:9/");
    assert_eq!(endpoint(&[c, ("OTEL_EXPORTER_OTLP_INSECURE", "1")]), "https://c:9/");
}

#[test]
fn what_cannot_be_read_is_handed_back() {
    let (config, wrong) = config(&[
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "smoke"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "70000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("SPANWIRE_SPOOL_DIRECTORY", "/var/lib/x"),
        ("SPANWIRE_SPOOL_MAX_AGE", "1d"),
    ]);
    assert_eq!(config.protocol, Protocol::HttpJson);
    assert_eq!(config.timeout, Duration::from_secs(10));
    assert_eq!(config.limits.queue_spans, 65_536);
    assert_eq!(config.limits.batch_spans, 65_536);
    assert_eq!(config.limits.delay, Duration::from_millis(100));
    let spool = config.spool.unwrap();
    assert_eq!(spool, SpoolConfig::in_directory("/var/lib/x".into()));
    let of = |weight| wrong.iter().filter(move |wrong| wrong.weight == weight);
    let ignored: Vec<&str> = of(Weight::Ignored).map(|wrong| wrong.variable.as_str()).collect();
    assert_eq!(
        ignored,
        [
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_COMPRESSION",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "OTEL_BSP_MAX_QUEUE_SIZE",
            "SPANWIRE_SPOOL_MAX_AGE",
        ]
    );
    assert_eq!((of(Weight::Advice).count(), of(Weight::Fatal).count()), (1, 0));
}

#[test]
fn an_endpoint_that_is_none_is_fatal_and_not_repeated() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:hunter2@c"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:hunter2@c"),
    ] {
        let (_, wrong) = config(&[(name, value)]);
        assert_eq!((wrong[0].variable.as_str(), wrong[0].weight), (name, Weight::Fatal));
        assert!(!format!("{wrong:?}").contains("hunter2"));
    }
}

#[test]
fn headers_are_decoded_and_never_shown() {
    let (config, wrong) = config(&[(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "Authorization=Basic%20c2VjcmV0, x-scope=a=b ,bad header=1,x-bad=%zz,,x-scope=last,novalue",
    )]);
    let headers: Vec<(&str, &[u8])> =
        config.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
    assert_eq!(
        headers,
        [("authorization", b"Basic c2VjcmV0".as_slice()), ("x-scope", b"last".as_slice())]
    );
    assert_eq!(wrong.len(), 3);
    assert!(!format!("{config:?}{wrong:?}").contains("c2VjcmV0"));
}

#[test]
fn the_wrong_port_for_the_protocol_is_pointed_out() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
    assert_eq!(config(&[endpoint]).1.len(), 1);
    assert!(config(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]).1.is_empty());
}
