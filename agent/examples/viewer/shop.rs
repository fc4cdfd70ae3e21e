//! Requests to an invented shop: most are quick, some repeat a query for each item of a large cart, and since a while
//! payments fail now and then because the card API does.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind::{
    self, Client, Consumer, Producer, Server,
};
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status, status::StatusCode,
};

/// ns.
const MINUTE: u64 = 60_000_000_000;
const MICRO: u64 = 1_000;

/// Now, ns since 1970.
#[allow(clippy::disallowed_methods, reason = "an edge: invented traces end now")]
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// `count` traces of the quarter of an hour that ends now.
pub(crate) fn quarter(count: u64) -> impl Iterator<Item = ExportTraceServiceRequest> {
    let now = now();
    (0..count).map(move |number| trace(number, count, now))
}

/// The `number`th of `count` traces of the quarter of an hour that ends `now`, ns since 1970.
pub(crate) fn trace(number: u64, count: u64, now: u64) -> ExportTraceServiceRequest {
    let mut dice = Dice(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995);
    let ago =
        15 * MINUTE - (15 * u128::from(MINUTE) * u128::from(number) / u128::from(count)) as u64;
    let mut made = Made { number, now: now - ago, spans: Vec::new(), next: 1 };
    let is_late = ago < 5 * MINUTE;
    match dice.below(100) {
        0..18 => checkout(&mut made, &mut dice, is_late),
        18..45 => page(&mut made, &mut dice, "/product/{id}", true),
        45..60 => page(&mut made, &mut dice, "/cart", false),
        60..72 => search(&mut made, &mut dice),
        72..80 => login(&mut made, &mut dice),
        80..83 => invoice(&mut made, &mut dice, is_late),
        83..92 => made.one("edge", "GET /static/*", dice.around(900), "304"),
        _ => page(&mut made, &mut dice, "/", false),
    }
    made.request()
}

struct Dice(u64);

impl Dice {
    /// xorshift64*
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// About so many µs, with a long tail.
    fn around(&mut self, us: u64) -> u64 {
        let spread = 60 + self.below(60) + self.below(40);
        let tail = if self.below(40) == 0 { 3 } else { 1 };
        us * spread * tail / 100
    }
}

struct Made {
    number: u64,
    /// Start of the trace, ns since 1970.
    now: u64,
    spans: Vec<(&'static str, Span)>,
    next: u64,
}

/// A span that is being made: its id, its service, and until when it has come, µs from the trace's start.
#[derive(Clone, Copy)]
struct Open {
    at: usize,
    service: &'static str,
    until: u64,
}

impl Made {
    fn open(
        &mut self,
        parent: Option<Open>,
        service: &'static str,
        kind: SpanKind,
        name: &str,
        start: u64,
    ) -> Open {
        let id = self.next;
        self.next += 1;
        let span = Span {
            trace_id: u128::from(self.number + 1)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
                .to_be_bytes()
                .to_vec(),
            span_id: (self.number << 16 | id).to_be_bytes().to_vec(),
            parent_span_id: parent
                .map(|parent| self.spans[parent.at].1.span_id.clone())
                .unwrap_or_default(),
            name: name.to_owned(),
            kind: kind.into(),
            start_time_unix_nano: self.now + start * MICRO,
            ..Span::default()
        };
        self.spans.push((service, span));
        Open { at: self.spans.len() - 1, service, until: start }
    }

    fn close(&mut self, open: Open, outcome: &str) {
        let (_, span) = &mut self.spans[open.at];
        span.end_time_unix_nano = self.now + open.until * MICRO;
        let failed = outcome >= "500" && outcome != "OK";
        if let Ok(code) = outcome.parse() {
            span.attributes.push(number("http.response.status_code", code));
        } else if !outcome.is_empty() {
            span.attributes.push(text("rpc.response.status_code", outcome));
        }
        if failed {
            span.attributes.push(text("error.type", outcome));
            span.status = Some(Status { code: StatusCode::Error.into(), message: String::new() });
        }
    }

    fn say(&mut self, open: Open, attribute: KeyValue) {
        self.spans[open.at].1.attributes.push(attribute);
    }

    /// A call to a service that is traced, too: the callee's span; the caller goes on at its end.
    fn call(&mut self, from: &mut Open, to: &'static str, name: &str) -> (Open, Open) {
        let mut client = self.open(Some(*from), from.service, Client, name, from.until + 200);
        self.say(client, text("server.address", to));
        client.until += 300;
        let mut server = self.open(Some(client), to, Server, name, client.until);
        server.until += 300;
        (client, server)
    }

    fn back(&mut self, from: &mut Open, (mut client, server): (Open, Open), outcome: &str) {
        self.close(server, outcome);
        client.until = server.until + 300;
        self.close(client, outcome);
        from.until = client.until + 200;
    }

    /// A call to somebody who is seen from outside only.
    fn ask(&mut self, from: &mut Open, name: &str, system: KeyValue, us: u64, outcome: &str) {
        let mut client = self.open(Some(*from), from.service, Client, name, from.until + 100);
        self.say(client, system);
        client.until += us;
        self.close(client, outcome);
        from.until = client.until + 100;
    }

    fn one(&mut self, service: &'static str, name: &str, us: u64, outcome: &str) {
        let mut root = self.open(None, service, Server, name, 0);
        root.until = us;
        self.close(root, outcome);
    }

    fn request(self) -> ExportTraceServiceRequest {
        let mut resource_spans: Vec<(&str, ResourceSpans)> = Vec::new();
        for (service, span) in self.spans {
            let at = resource_spans.iter().position(|(name, _)| *name == service);
            let at = at.unwrap_or_else(|| {
                resource_spans.push((service, resource(service)));
                resource_spans.len() - 1
            });
            resource_spans[at].1.scope_spans[0].spans.push(span);
        }
        ExportTraceServiceRequest {
            resource_spans: resource_spans.into_iter().map(|(_, r)| r).collect(),
        }
    }
}

fn resource(service: &str) -> ResourceSpans {
    let pid = service.bytes().map(i64::from).sum::<i64>() + 1_000;
    let attributes = vec![
        text("service.name", service),
        text("service.version", "2.14.1"),
        text("host.name", "legacy-web-01"),
        number("process.pid", pid),
        text("process.executable.name", service),
        text("telemetry.sdk.language", "python"),
    ];
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "spanwire.http".to_owned(),
                ..InstrumentationScope::default()
            }),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

fn checkout(made: &mut Made, dice: &mut Dice, is_late: bool) {
    let items = if dice.below(8) == 0 { 40 + dice.below(10) } else { 1 + dice.below(3) };
    let fails = is_late && dice.below(3) == 0;
    let outcome = if fails { "502" } else { "201" };
    let mut edge = made.open(None, "edge", Server, "POST /checkout", 0);
    made.say(edge, number("user.id", dice.below(400) as i64));
    made.say(edge, number("cart.items", items as i64));
    made.say(edge, text("user.tier", if items > 20 { "wholesale" } else { "retail" }));
    edge.until += 400;
    let (front_client, mut front) = made.call(&mut edge, "storefront", "POST /checkout");
    let mut auth = made.call(&mut front, "auth", "GET /session");
    made.ask(
        &mut auth.1,
        "GET session:{id}",
        text("db.system.name", "redis"),
        dice.around(1_500),
        "",
    );
    made.back(&mut front, auth, "200");
    let (orders_client, mut orders) = made.call(&mut front, "orders", "POST /orders");
    let postgres = || text("db.system.name", "postgresql");
    made.ask(&mut orders, "INSERT orders", postgres(), dice.around(6_000), "");
    let mut inventory = made.call(&mut orders, "inventory", "POST /reserve");
    for _ in 0..items {
        made.ask(&mut inventory.1, "SELECT stock", postgres(), dice.around(12_000), "");
    }
    made.ask(&mut inventory.1, "UPDATE reservations", postgres(), dice.around(18_000), "");
    made.back(&mut orders, inventory, "200");
    for attempt in 0..if fails { 2 } else { 1 } {
        orders.until += attempt * 48_000;
        let mut payments = made.call(&mut orders, "payments", "Payments/Charge");
        let card = text("server.address", "api.cardpay.example");
        let (us, status) = if fails { (180_000, "503") } else { (58_000, "200") };
        made.ask(&mut payments.1, "POST", card, dice.around(us), status);
        made.back(&mut orders, payments, if fails { "UNAVAILABLE" } else { "OK" });
    }
    made.ask(&mut orders, "UPDATE orders", postgres(), dice.around(3_000), "");
    made.back(&mut front, (orders_client, orders), outcome);
    let kafka = text("messaging.system", "kafka");
    let mut publish =
        made.open(Some(front), "storefront", Producer, "publish checkout", front.until);
    made.say(publish, kafka.clone());
    publish.until += 2_000;
    made.close(publish, "");
    front.until = publish.until + 200;
    let mut consume = made.open(
        Some(publish),
        "billing-legacy",
        Consumer,
        "consume checkout",
        publish.until + 4_000,
    );
    made.say(consume, kafka);
    consume.until += 30_000;
    made.close(consume, "");
    made.back(&mut edge, (front_client, front), outcome);
    made.close(edge, outcome);
}

fn page(made: &mut Made, dice: &mut Dice, path: &str, asks_search: bool) {
    let name = format!("GET {path}");
    let mut edge = made.open(None, "edge", Server, &name, 0);
    edge.until += 400;
    let (client, mut front) = made.call(&mut edge, "storefront", &name);
    front.until += dice.around(9_000);
    let mut auth = made.call(&mut front, "auth", "GET /session");
    made.ask(
        &mut auth.1,
        "GET session:{id}",
        text("db.system.name", "redis"),
        dice.around(900),
        "",
    );
    made.back(&mut front, auth, "200");
    if asks_search {
        let mut search = made.call(&mut front, "search", "GET /suggest");
        search.1.until += dice.around(9_000);
        made.back(&mut front, search, "200");
    }
    front.until += dice.around(4_000);
    made.back(&mut edge, (client, front), "200");
    made.close(edge, "200");
}

fn search(made: &mut Made, dice: &mut Dice) {
    let mut edge = made.open(None, "edge", Server, "GET /search", 0);
    let mut search = made.call(&mut edge, "search", "GET /search");
    search.1.until += dice.around(26_000);
    made.back(&mut edge, search, "200");
    made.close(edge, "200");
}

fn login(made: &mut Made, dice: &mut Dice) {
    let mut edge = made.open(None, "edge", Server, "POST /login", 0);
    let mut auth = made.call(&mut edge, "auth", "POST /login");
    made.ask(
        &mut auth.1,
        "SELECT users",
        text("db.system.name", "postgresql"),
        dice.around(4_000),
        "",
    );
    auth.1.until += dice.around(190_000);
    made.back(&mut edge, auth, "200");
    made.close(edge, "200");
}

fn invoice(made: &mut Made, dice: &mut Dice, is_late: bool) {
    let name = "GET /invoice/{id}.pdf";
    let slow = is_late && dice.below(2) == 0;
    let mut edge = made.open(None, "edge", Server, name, 0);
    let mut billing = made.call(&mut edge, "billing-legacy", name);
    let us = dice.around(if slow { 2_900_000 } else { 600_000 });
    made.ask(&mut billing.1, "SELECT invoices", text("db.system.name", "mysql"), us, "");
    billing.1.until += dice.around(100_000);
    let outcome = if slow { "504" } else { "200" };
    made.back(&mut edge, billing, outcome);
    made.close(edge, outcome);
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
