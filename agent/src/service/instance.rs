//! A service's instance, and its resource as OTLP has it (semconv 1.44, resource attributes).

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use uuid::{Uuid, uuid};

use crate::service::attribute::{number, text};
use crate::service::environment::Environment;
use crate::service::{ProcessFacts, cgroup, is_process, naming};

/// Name of a process of which nothing is known (Resource SDK, default of `service.name`).
const UNKNOWN: &str = "unknown_service";
/// Name space of `service.instance.id` made from an inherent id (semconv 1.44, `service.instance.id`).
const INSTANCES: Uuid = uuid!("4d63009a-8d0f-11ee-aad7-4c796ed8e320");
/// What made the spans: not an OpenTelemetry SDK.
const MAKER: &str = "spanwire";

/// A service's instance, as spans are put on it: compare by [`Service::instance_id`].
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// `service.name`; `unknown_service` when nothing is known.
    pub name: String,
    /// `service.version`, if the process says.
    pub version: Option<String>,
    /// `deployment.environment.name`, if the process says.
    pub environment: Option<String>,
    /// `service.instance.id`: the same for all processes of an instance (a master and its workers).
    pub instance_id: String,
    /// Pid of the instance's leader.
    pub pid: u32,
    /// All of it as OTLP has it; keys are unique and sorted.
    pub resource: Resource,
}

impl Service {
    /// The service that a process is, on the host of that name. `leader` is the process that stands for its instance
    /// (itself, or a master whose worker it is), `unit` the systemd unit that the leader leads.
    pub(super) fn of(
        process: &ProcessFacts,
        leader: &ProcessFacts,
        unit: Option<&str>,
        host: &str,
    ) -> Self {
        let environment = Environment::of(process);
        let named = naming::name(process, &environment, unit);
        let name = if named.is_empty() { UNKNOWN.to_owned() } else { named };
        let mut resource = Attributes::default();
        // The host's name and the start time tell instances apart that have the same pid at other times and places. A
        // master may serve more than one service: PHP-FPM's pools.
        let mut inherent = format!("{host}/{}/{}", leader.pid, leader.start_ticks);
        if naming::name(leader, &Environment::of(leader), unit) != name {
            inherent = format!("{inherent}/{name}");
        }
        let instance = Uuid::new_v5(&INSTANCES, inherent.as_bytes());
        resource.text("service.instance.id", &instance.to_string());
        resource.text("host.name", host);
        resource.process(leader);
        // What the operator says beats what was found out.
        for (key, value) in &environment.attributes {
            resource.text(key, value);
        }
        resource.text("service.name", &name);
        resource.maker(naming::language(process));
        let own = |key| environment.value(key).map(str::to_owned);
        Self {
            name,
            version: own("service.version"),
            environment: own("deployment.environment.name")
                .or_else(|| own("deployment.environment")),
            instance_id: own("service.instance.id").unwrap_or_else(|| instance.to_string()),
            pid: leader.pid,
            resource: resource.done(),
        }
    }

    /// A process of which no more than the pid is known.
    pub(super) fn unknown(pid: u32, host: &str) -> Self {
        let facts = ProcessFacts { pid, ..ProcessFacts::default() };
        Self::of(&facts, &facts, None, host)
    }

    /// Whether anything was known about the process.
    pub(crate) fn is_known(&self) -> bool {
        self.name != UNKNOWN
    }
}

/// Resource attributes being collected: a key once, the last value wins.
#[derive(Default)]
struct Attributes(BTreeMap<String, KeyValue>);

impl Attributes {
    /// A text; an empty one says nothing and is left out.
    fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.0.insert(key.to_owned(), text(key, value));
        }
    }

    fn process(&mut self, facts: &ProcessFacts) {
        if !is_process(facts.pid) {
            return;
        }
        self.text("os.type", "linux");
        self.0.insert("process.pid".to_owned(), number("process.pid", facts.pid));
        self.text("process.executable.name", naming::base_name(naming::executable(facts)));
        self.text("process.executable.path", naming::executable(facts));
        self.text("container.id", cgroup::container(&facts.cgroup).unwrap_or_default());
        self.text("k8s.pod.uid", &cgroup::pod_uid(&facts.cgroup).unwrap_or_default());
        // The conventions have no name for it.
        self.text(
            "spanwire.systemd.unit",
            &cgroup::service_unit(&facts.cgroup).unwrap_or_default(),
        );
    }

    fn maker(&mut self, language: &str) {
        let version = env!("CARGO_PKG_VERSION");
        self.text("telemetry.sdk.name", MAKER);
        self.text("telemetry.sdk.language", language);
        self.text("telemetry.sdk.version", version);
        self.text("telemetry.distro.name", MAKER);
        self.text("telemetry.distro.version", version);
    }

    fn done(self) -> Resource {
        Resource { attributes: self.0.into_values().collect(), ..Resource::default() }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;

    fn facts() -> ProcessFacts {
        ProcessFacts {
            pid: 42,
            start_ticks: 1000,
            exe: "/usr/bin/python3.11".into(),
            arguments: vec!["python3".into(), "shop/app.py".into()],
            directory: "/srv".into(),
            ..ProcessFacts::default()
        }
    }

    fn alone(facts: &ProcessFacts, host: &str) -> Service {
        Service::of(facts, facts, None, host)
    }

    fn value(service: &Service, key: &str) -> Option<String> {
        let mut found = service.resource.attributes.iter().filter(|attribute| attribute.key == key);
        let value = found.next()?.value.clone()?.value?;
        assert!(found.next().is_none(), "{key} twice");
        Some(match value {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_resource_says_what_is_known() {
        let service = alone(&facts(), "web1");
        assert_eq!(service.name, "shop");
        for (key, expected) in [
            ("service.name", "shop"),
            ("service.instance.id", service.instance_id.as_str()),
            ("host.name", "web1"),
            ("os.type", "linux"),
            ("process.pid", "42"),
            ("process.executable.name", "python3.11"),
            ("process.executable.path", "/usr/bin/python3.11"),
            ("telemetry.sdk.name", "spanwire"),
            ("telemetry.sdk.language", "python"),
            ("telemetry.distro.name", "spanwire"),
        ] {
            assert_eq!(value(&service, key).as_deref(), Some(expected), "{key}");
        }
        assert_eq!(value(&service, "container.id"), None);
    }

    #[test]
    fn the_operator_has_the_last_word() {
        let otel = vec![(
            "OTEL_RESOURCE_ATTRIBUTES".to_owned(),
            "service.name=till,service.version=2,deployment.environment.name=prod,host.name=x,team=a%20b,telemetry.sdk.name=me,service.instance.id=i1".to_owned(),
        )];
        let service = alone(&ProcessFacts { otel, ..facts() }, "web1");
        assert_eq!(service.name, "till");
        assert_eq!(service.version.as_deref(), Some("2"));
        assert_eq!(service.environment.as_deref(), Some("prod"));
        assert_eq!(service.instance_id, "i1");
        for (key, expected) in [
            ("service.name", "till"),
            ("host.name", "x"),
            ("team", "a b"),
            ("telemetry.sdk.name", "spanwire"),
            ("service.instance.id", "i1"),
        ] {
            assert_eq!(value(&service, key).as_deref(), Some(expected), "{key}");
        }
    }

    #[test]
    fn an_instance_id_is_an_inherent_uuid() {
        let id = |pid, start_ticks, host| {
            alone(&ProcessFacts { pid, start_ticks, ..facts() }, host).instance_id
        };
        let one = id(1, 2, "a");
        assert_eq!(one, id(1, 2, "a"));
        assert_eq!(Uuid::parse_str(&one).unwrap().get_version_num(), 5);
        for other in [id(2, 2, "a"), id(1, 3, "a"), id(1, 2, "b")] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn where_a_process_runs_is_said() {
        let id = "0123456789abcdef".repeat(4);
        let pod = "8c1a2b3d-4e5f-6071-8293-a4b5c6d7e8f9";
        let in_pod = vec![format!("0::/kubepods/burstable/pod{pod}/{id}")];
        let service = alone(&ProcessFacts { cgroup: in_pod, ..facts() }, "web1");
        assert_eq!(value(&service, "container.id"), Some(id));
        assert_eq!(value(&service, "k8s.pod.uid").as_deref(), Some(pod));
        assert_eq!(value(&service, "spanwire.systemd.unit"), None);
        let in_unit = vec!["0::/system.slice/shop@1.service".to_owned()];
        let service = alone(&ProcessFacts { cgroup: in_unit, ..facts() }, "web1");
        assert_eq!(value(&service, "spanwire.systemd.unit").as_deref(), Some("shop@1"));
        assert_eq!(value(&service, "container.id"), None);
    }

    #[test]
    fn nothing_known_is_said_so() {
        let service = Service::unknown(7, "web1");
        assert!(!service.is_known());
        assert_eq!(value(&service, "service.name").as_deref(), Some("unknown_service"));
        assert_eq!(value(&service, "process.pid").as_deref(), Some("7"));
    }
}
