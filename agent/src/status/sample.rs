//! A viewer without an agent: for looking at the page while it is worked on, and for the page's tests.
#![forbid(unsafe_code)]

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use super::served::{PACE, Served, now};
use super::server::accept;
use super::{Counters, Meaning, OpenRequest, Snapshot};
use crate::viewer::{Host, Limits, Watched};

fn watched(service: &str, program: &str, runtime: &str, ports: &[u16], note: &str) -> Watched {
    Watched {
        service: service.to_owned(),
        program: program.to_owned(),
        runtime: runtime.to_owned(),
        ports: ports.to_vec(),
        processes: 1,
        is_traced: true,
        note: note.to_owned(),
    }
}

/// A viewer over spans that come from somewhere else than an agent.
pub struct SampleServer {
    served: Arc<Served>,
    listener: TcpListener,
}

impl SampleServer {
    /// Takes a port of loopback; 0 is any.
    ///
    /// # Errors
    /// The port is taken.
    pub fn bind(port: u16, token: &str) -> io::Result<Self> {
        Self::paced(port, token, PACE)
    }

    /// The same with so long between two updates of a page: what takes an hour can be seen in a minute.
    ///
    /// # Errors
    /// The port is taken.
    pub fn paced(port: u16, token: &str, pace: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        let mut served = Served::new(port, token.to_owned(), Limits::default());
        served.pace = pace;
        let plain = "only plain traffic is seen (OpenSSL is not read yet)";
        let watched = vec![
            watched("edge", "nginx", "", &[80, 443], plain),
            watched("orders", "java", "java", &[8081], ""),
            watched("inventory", "gunicorn", "python", &[8082], ""),
            watched("payments", "payments-d", "go", &[9090], ""),
            Watched {
                is_traced: false,
                ..watched("ssh", "sshd", "", &[22], "left out by the rule no_ssh")
            },
        ];
        served.viewer().set_host(Host::new("legacy-web-01".to_owned(), now(), watched));
        Ok(Self { served: Arc::new(served), listener })
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.served.access().port
    }

    /// What takes spans, from any thread, while it serves.
    #[must_use = "nothing is taken by itself"]
    pub fn taker(&self) -> impl Fn(ExportTraceServiceRequest) + Send + use<> {
        let served = self.served.clone();
        move |request| served.viewer().store().take(request, now())
    }

    /// What is told which requests are under way, likewise.
    #[must_use = "nothing is told by itself"]
    pub fn teller(&self) -> impl Fn(Vec<OpenRequest>) + Send + use<> {
        let served = self.served.clone();
        move |open| served.viewer().set_snapshot(Snapshot { open, ..Snapshot::default() }, now())
    }

    /// What is told how many events were lost so far, likewise; then nothing is under way.
    #[must_use = "nothing is told by itself"]
    pub fn loser(&self) -> impl Fn(u64) + Send + use<> {
        let served = self.served.clone();
        move |lost| {
            let mut counters = Counters::default();
            counters.add("kernel", "data_ring_full", Meaning::Loss, lost);
            served.viewer().set_snapshot(Snapshot { counters, open: Vec::new() }, now());
        }
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// The port cannot be listened on.
    pub fn serve(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(accept(self.listener, self.served))
    }
}
