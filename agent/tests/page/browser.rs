//! The browser, and the server that it looks at.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use fantoccini::{Client, ClientBuilder, Locator, elements::Element};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::{Value, json};
use spanwire::status::{OpenRequest, SampleServer};
use tonic::codegen::Bytes;

/// How long anything may take to appear. Machines that run tests are busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two updates of a page, as an agent has it.
pub(crate) const PACE: Duration = Duration::from_millis(500);
const TOKEN: &str = "0123456789abcdef";

/// One browser over one server with the shop's traces.
pub(crate) struct Browser {
    pub(crate) client: Client,
    driver: Driver,
    log: PathBuf,
    /// Of the server.
    pub(crate) port: u16,
    /// Gives it more spans.
    pub(crate) take: Box<dyn Fn(ExportTraceServiceRequest) + Send>,
    /// Tells it which requests are under way.
    pub(crate) tell: Box<dyn Fn(Vec<OpenRequest>) + Send>,
}

/// A viewer of its own, without traces.
pub(crate) struct Server {
    pub(crate) port: u16,
    /// Gives it spans.
    pub(crate) take: Box<dyn Fn(ExportTraceServiceRequest) + Send>,
    /// Tells it which requests are under way.
    pub(crate) tell: Box<dyn Fn(Vec<OpenRequest>) + Send>,
    /// Tells it how many events were lost so far.
    pub(crate) lose: Box<dyn Fn(u64) + Send>,
}

impl Server {
    /// Serves from now on, with so long between two updates of a page.
    pub(crate) fn start(pace: Duration) -> Result<Self> {
        let server = SampleServer::paced(0, TOKEN, pace)?;
        let (take, tell) = (Box::new(server.taker()), Box::new(server.teller()));
        let (port, lose) = (server.port(), Box::new(server.loser()));
        std::thread::spawn(move || server.serve());
        Ok(Self { port, take, tell, lose })
    }
}

/// As it is printed.
fn link(port: u16, path: &str) -> String {
    format!("http://127.0.0.1:{port}{path}#k={TOKEN}")
}

/// chromedriver, which does not outlive us.
struct Driver {
    process: Child,
    port: String,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Browser {
    /// Starts both; `None` where there is no browser.
    pub(crate) async fn start() -> Result<Option<Self>> {
        let there = |name: &str| {
            Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status()
        };
        if there("chromedriver").is_err() || there("chromium").is_err() {
            return Ok(None);
        }
        let Server { port, take, tell, .. } = Server::start(PACE)?;
        for request in crate::shop::quarter(600) {
            take(request);
        }

        let folder = folder()?;
        let log = folder.join("chromium.log");
        let process = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut driver = Driver { process, port: String::new() };
        let out = driver.process.stdout.take().context("its output")?;
        for line in BufReader::new(out).lines() {
            // "ChromeDriver was started successfully on port 40123."
            let line = line?;
            let port = line.strip_prefix("ChromeDriver was started successfully on port ");
            if let Some(port) = port {
                port.trim_end_matches('.').clone_into(&mut driver.port);
                break;
            }
        }
        let at = &driver.port;
        ensure!(!at.is_empty(), "chromedriver did not start");
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1440,900",
            "--force-device-scale-factor=1",
            "--enable-logging",
        ];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).into();
        arguments.push(format!("--log-file={}", log.display()));
        let capabilities = json!({ "goog:chromeOptions": { "args": arguments } });
        let Value::Object(capabilities) = capabilities else { bail!("no object") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{at}"))
            .await?;
        client.goto(&link(port, "/")).await?;
        Ok(Some(Self { client, driver, log, port, take, tell }))
    }

    /// Opens an address of the page, which knows the token since it was opened by the printed link.
    pub(crate) async fn open(&self, path: &str) -> Result<()> {
        Ok(self.client.goto(&format!("http://127.0.0.1:{}{path}", self.port)).await?)
    }

    /// Opens another server's page, by its link.
    pub(crate) async fn visit(&self, server: &Server, path: &str) -> Result<()> {
        // The fragment alone would not load anything anew.
        self.client.goto("about:blank").await?;
        Ok(self.client.goto(&link(server.port, path)).await?)
    }

    /// The printed link.
    pub(crate) fn link(&self) -> String {
        link(self.port, "/")
    }

    /// Waits for the first element of a selector.
    pub(crate) async fn wait(&self, css: &str) -> Result<Element> {
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await;
        if found.is_err() {
            self.picture("missing").await?;
        }
        found.with_context(|| format!("{css} did not appear; see missing.png"))
    }

    /// Waits until a script's expression is true.
    pub(crate) async fn until(&self, expression: &str) -> Result<()> {
        let script = format!("return Boolean({expression})");
        for _ in 0..400 {
            if self.script(&script).await? == true {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.picture("missing").await?;
        bail!("it never came to {expression}; see missing.png")
    }

    /// What a script returns.
    pub(crate) async fn script(&self, script: &str) -> Result<Value> {
        Ok(self.client.execute(script, Vec::new()).await?)
    }

    /// The page's own call for data.
    pub(crate) async fn ask(&self, path: &str) -> Result<Value> {
        let script = "const [path, done] = arguments; \
            fetch(path, { headers: { Authorization: `Bearer ${localStorage.getItem('spanwire.token')}` } }) \
            .then((answer) => answer.json()).then(done, (error) => done(String(error)));";
        Ok(self.client.execute_async(script, vec![path.into()]).await?)
    }

    /// Runs a statement in each of so many frames; `at` is the frame's number.
    pub(crate) async fn frames(&self, statement: &str, count: usize) -> Result<()> {
        let script = format!(
            "const [count, done] = arguments; let at = 0; \
             const step = () => {{ if (at >= count) return requestAnimationFrame(() => done()); at += 1; {statement}; requestAnimationFrame(step); }}; step();"
        );
        self.client.execute_async(&script, vec![count.into()]).await?;
        Ok(())
    }

    /// Has the browser itself do or tell something (Chrome's DevTools protocol).
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        let session = self.client.session_id().await?.context("no session")?;
        let path = format!("/session/{session}/goog/cdp/execute");
        let body = json!({ "cmd": command, "params": parameters }).to_string();
        let request = hyper::Request::post(format!("http://127.0.0.1:{}{path}", self.driver.port))
            .header("content-type", "application/json")
            .body(Full::<Bytes>::from(body))?;
        let client = legacy::Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await?;
        let answer = answer.into_body().collect().await?.to_bytes();
        let mut answer: Value = serde_json::from_slice(&answer)?;
        ensure!(answer["value"]["error"].is_null(), "{command}: {answer}");
        Ok(answer["value"].take())
    }

    /// Presses keys on what has the focus.
    pub(crate) async fn press(&self, keys: &str) -> Result<()> {
        let focused = self.client.active_element().await?;
        Ok(focused.send_keys(keys).await?)
    }

    /// Keeps a picture of what is seen now; returns it, too.
    pub(crate) async fn picture(&self, name: &str) -> Result<Vec<u8>> {
        let picture = self.client.screenshot().await?;
        fs::write(folder()?.join(format!("{name}.png")), &picture)?;
        Ok(picture)
    }

    /// Fails if the browser has complained of anything: an error, a policy that was broken.
    pub(crate) fn complaints(&self) -> Result<()> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let is_bad = |line: &&str| {
            line.contains("CONSOLE")
                && ["Uncaught", "Content Security Policy", "TrustedHTML", "Error"]
                    .iter()
                    .any(|word| line.contains(word))
        };
        let bad: Vec<&str> = log.lines().filter(is_bad).collect();
        ensure!(bad.is_empty(), "the browser complains:\n{}", bad.join("\n"));
        Ok(())
    }

    pub(crate) async fn end(self) -> Result<()> {
        self.client.close().await?;
        drop(self.driver);
        Ok(())
    }
}

/// Where pictures and the browser's log go.
fn folder() -> Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
