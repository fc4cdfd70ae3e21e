//! `cargo xtask go-offsets`: where the agent finds what it reads of Go processes, by version of Go, of grpc-go and of `golang.org/x/net`.
//!
//! Each compiler, fetched through the module proxy as `GOTOOLCHAIN` does it, builds the same program, and its own debugging
//! information is asked; so is that of a program with each of the others. Nothing is typed by hand. Where the first and the last release of
//! a version agree, what is between is taken for the same.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{cargo, places, say};

/// Versions with their first and last release.
const VERSIONS: [(&str, [&str; 2]); 9] = [
    ("1.18", ["1.18", "1.18.10"]),
    ("1.19", ["1.19", "1.19.13"]),
    ("1.20", ["1.20", "1.20.14"]),
    ("1.21", ["1.21.0", "1.21.13"]),
    ("1.22", ["1.22.0", "1.22.12"]),
    ("1.23", ["1.23.0", "1.23.12"]),
    ("1.24", ["1.24.0", "1.24.13"]),
    ("1.25", ["1.25.0", "1.25.9"]),
    ("1.26", ["1.26.0", "1.26.8"]),
];

/// What is asked for, in the order of the table's columns.
const MEMBERS: [&str; 30] = [
    "runtime.g.goid",
    "runtime.g.parentGoid",
    "runtime.g.startpc",
    "runtime.g.m",
    "runtime.g.atomicstatus",
    "runtime.m.curg",
    "runtime.p.id",
    "runtime.p.goidcache",
    "runtime.hchan.recvq",
    "runtime.hchan.elemsize",
    "runtime.sudog.g",
    "net/http.persistConn.conn",
    "net/http.conn.rwc",
    "net.netFD.pfd",
    "internal/poll.FD.Sysfd",
    "net.netFD.laddr",
    "net.netFD.family",
    "net.netFD.sotype",
    "net/http.transportRequest.ctx",
    "net/http.Request.ctx",
    "context.cancelCtx.err",
    "net/http.http2serverConn.conn",
    "net/http.http2responseWriter.rws",
    "net/http.http2responseWriterState.stream",
    "net/http.http2stream.id",
    "net/http.http2clientStream.cc",
    "net/http.http2ClientConn.tconn",
    "net/http.http2clientStream.ID",
    "net/http.http2clientStream.ctx",
    "net/http.http2clientStream.respHeaderRecv",
];

const TABLE: &str = "agent/src/runtime/go/layouts.txt";

/// A module whose releases are asked.
struct Module {
    path: &'static str,
    /// The package that has the structs.
    package: &'static str,
    /// The folder of the program that is built with it.
    source: &'static str,
    /// The first number of its releases,
    major: u32,
    /// and the second one of the first that is asked.
    since: u32,
    /// What is asked for; with a star whether it is a pointer.
    members: &'static [&'static str],
    table: &'static str,
}

/// Since 2022: before, hardly a program is of a Go that the agent knows.
const GRPC: Module = Module {
    path: "google.golang.org/grpc",
    package: "google.golang.org/grpc/internal/transport",
    source: "grpc",
    major: 1,
    since: 44,
    members: &[
        "http2Client.conn",
        "http2Server.conn",
        "Stream.id",
        "Stream.ctx",
        "Stream.ct",
        "*Stream.ct",
        "ClientStream.ct",
        "ClientStream.Stream",
        "*ClientStream.Stream",
        "ServerStream.Stream",
        "*ServerStream.Stream",
    ],
    table: "agent/src/runtime/go/grpc_layouts.txt",
};

/// Before its first release (2022) it had no numbers.
const NET: Module = Module {
    path: "golang.org/x/net",
    package: "golang.org/x/net/http2",
    source: "xnet",
    major: 0,
    since: 1,
    members: &[
        "serverConn.conn",
        "responseWriter.rws",
        "responseWriterState.stream",
        "stream.id",
        "clientStream.cc",
        "ClientConn.tconn",
        "clientStream.ID",
        "clientStream.ctx",
        "clientStream.respHeaderRecv",
    ],
    table: "agent/src/runtime/go/xnet_layouts.txt",
};

/// Writes the tables.
pub(crate) fn task() -> Result<ExitCode> {
    let go = cargo::find("go").context("go is missing: see tests/system-packages.txt")?;
    let sources = places::workspace().join("xtask/go_offsets");
    let built = places::target()?.join("go-offsets");
    fs::create_dir_all(&built).with_context(|| format!("cannot make {}", built.display()))?;
    let dump = built.join("dump");
    build(&go, &sources.join("dump"), "local", &dump)?;

    go_table(&go, &sources, &built, &dump)?;
    for module in [NET, GRPC] {
        module_table(&go, &sources, &built, &dump, &module)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn go_table(go: &Path, sources: &Path, built: &Path, dump: &Path) -> Result<()> {
    let mut table = format!(
        "# Offsets in Go's own structs on 64-bit machines, by version; `-` where there is no such member.\n\
         # Written by `cargo xtask go-offsets`.\nversion {}\n",
        MEMBERS.join(" ")
    );
    for (version, releases) in VERSIONS {
        let mut rows = Vec::new();
        for release in releases {
            let toolchain = format!("go{release}");
            let program = built.join(&toolchain);
            say::step(format!("asking {toolchain}"), || {
                build(go, &sources.join("sample"), &toolchain, &program)?;
                rows.push(row(dump, &program, &MEMBERS.map(str::to_owned))?);
                Ok::<_, anyhow::Error>(())
            })?;
        }
        ensure!(
            rows[0] == rows[1],
            "Go {version}'s releases differ, {rows:?}: the table must tell them apart"
        );
        let _ = writeln!(table, "{version} {}", rows[0]);
    }
    write(TABLE, &table)
}

fn module_table(
    go: &Path,
    sources: &Path,
    built: &Path,
    dump: &Path,
    module: &Module,
) -> Result<()> {
    let Module { path, package, source, major, members, table: file, .. } = *module;
    let mut table = format!(
        "# Offsets in {package}, each since a release up to the next one that is told; nothing\n\
         # is known of later minor versions than the last. `-` where there is no such member; with a star whether it is a pointer.\n\
         # Written by `cargo xtask go-offsets`.\nversion {}\n",
        members.join(" ")
    );
    let full = |member: &&str| match member.strip_prefix('*') {
        Some(member) => format!("*{package}.{member}"),
        None => format!("{package}.{member}"),
    };
    let members: Vec<String> = members.iter().map(full).collect();
    let ask = |(minor, patch): (u32, u32)| -> Result<String> {
        let release = format!("{major}.{minor}.{patch}");
        let program = built.join(format!("{source}-{release}")).join("sample");
        say::step(format!("asking {path} {release}"), || {
            build_with(go, &sources.join(source).join("main.go"), path, &release, &program)?;
            let row = row(dump, &program, &members)?;
            fs::remove_file(&program)?;
            Ok(row)
        })
    };
    let all = releases(go, module)?;
    let mut asked = Vec::new();
    for releases in all.chunk_by(|a, b| a.0 == b.0) {
        let (Some(first), Some(last)) = (releases.first(), releases.last()) else { continue };
        let ends = [(*first, ask(*first)?), (*last, ask(*last)?)];
        if ends[0].1 == ends[1].1 {
            asked.extend(ends);
        } else {
            for release in releases {
                asked.push((*release, ask(*release)?));
            }
        }
    }
    // A row for each release since which something is different; the last one asked ends the table.
    let mut before = None;
    for (at, ((minor, patch), row)) in asked.iter().enumerate() {
        if before != Some(row) || at + 1 == asked.len() {
            let _ = writeln!(table, "{major}.{minor}.{patch} {row}");
        }
        before = Some(row);
    }
    write(file, &table)
}

fn write(table: &str, text: &str) -> Result<()> {
    fs::write(places::workspace().join(table), text)
        .with_context(|| format!("cannot write {table}"))?;
    say::note(format!("{table} is written"));
    Ok(())
}

/// All releases of a module from the first on that is asked: the second and third number of each, in order.
fn releases(go: &Path, module: &Module) -> Result<Vec<(u32, u32)>> {
    let prefix = format!("v{}.", module.major);
    let told = Command::new(go)
        .current_dir(places::target()?)
        .args(["list", "-m", "-versions", module.path])
        .output()
        .context("cannot run go")?;
    let told = String::from_utf8(told.stdout)?;
    let mut releases: Vec<(u32, u32)> = told
        .split_whitespace()
        .filter_map(|word| word.strip_prefix(&*prefix)?.split_once('.'))
        .filter_map(|(minor, patch)| Some((minor.parse().ok()?, patch.parse().ok()?)))
        .filter(|(minor, _)| *minor >= module.since)
        .collect();
    ensure!(!releases.is_empty(), "Go tells no versions of {}", module.path);
    releases.sort_unstable();
    Ok(releases)
}

/// Builds the program with that release of a module.
fn build_with(go: &Path, source: &Path, path: &str, release: &str, to: &Path) -> Result<()> {
    let folder = to.parent().context("a program in no folder")?;
    fs::create_dir_all(folder)?;
    fs::copy(source, folder.join("main.go"))?;
    // Its other requirements follow from this one.
    let module = format!("module sample\n\ngo 1.19\n\nrequire {path} v{release}\n");
    fs::write(folder.join("go.mod"), module)?;
    let mut command = Command::new(go);
    command
        .current_dir(folder)
        .env("GOFLAGS", "-trimpath -buildvcs=false -mod=mod")
        .env("CGO_ENABLED", "0")
        .args(["build", "-o"])
        .arg(to)
        .arg("main.go");
    cargo::run(&mut command, "see what Go says; modules come through the module proxy")
}

/// Builds the program of a folder with that toolchain, which Go fetches where it is not there.
fn build(go: &Path, source: &Path, toolchain: &str, to: &Path) -> Result<()> {
    let mut command = Command::new(go);
    command
        .current_dir(source)
        .env("GOTOOLCHAIN", toolchain)
        .env("GOFLAGS", "-trimpath -buildvcs=false")
        .env("CGO_ENABLED", "0")
        .args(["build", "-o"])
        .arg(to)
        // Go 1.19 finds no package at `.` outside of its own root.
        .arg("main.go");
    cargo::run(&mut command, "see what Go says; toolchains come through the module proxy")
}

/// A row of the table.
fn row(dump: &Path, program: &Path, members: &[String]) -> Result<String> {
    let told = Command::new(dump).arg(program).args(members).output().context("cannot run dump")?;
    if !told.status.success() {
        bail!("{}", String::from_utf8_lossy(&told.stderr));
    }
    let told = String::from_utf8(told.stdout)?;
    let offsets: Vec<&str> =
        told.lines().map(|line| line.split_once(' ').map_or("-", |(_, offset)| offset)).collect();
    ensure!(offsets.len() == members.len(), "dump told of {} members", offsets.len());
    Ok(offsets.join(" "))
}
