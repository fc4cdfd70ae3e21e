//! `cargo xtask go-offsets`: where the agent finds what it reads of Go processes, by version of Go and of grpc-go.
//!
//! Each compiler, fetched through the module proxy as `GOTOOLCHAIN` does it, builds the same program, and its own debugging
//! information is asked; so is that of a program with each grpc-go. Nothing is typed by hand. Where the first and the last release of
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
const MEMBERS: [&str; 29] = [
    "runtime.g.goid",
    "runtime.g.parentGoid",
    "runtime.g.startpc",
    "runtime.g.m",
    "runtime.g.atomicstatus",
    "runtime.m.curg",
    "runtime.p.id",
    "runtime.p.goidcache",
    "runtime.hchan.recvq",
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

/// The module of grpc-go, and the package that has its transports.
const GRPC: &str = "google.golang.org/grpc";
const TRANSPORT: &str = "google.golang.org/grpc/internal/transport";
/// The first version that is asked (2022: before, hardly a program is of a Go that the agent knows).
const GRPC_SINCE: u32 = 44;

/// What is asked for of each grpc-go; with a star whether it is a pointer.
const GRPC_MEMBERS: [&str; 11] = [
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
];

const GRPC_TABLE: &str = "agent/src/runtime/go/grpc_layouts.txt";

/// Writes the tables.
pub(crate) fn task() -> Result<ExitCode> {
    let go = cargo::find("go").context("go is missing: see tests/system-packages.txt")?;
    let sources = places::workspace().join("xtask/go_offsets");
    let built = places::target()?.join("go-offsets");
    fs::create_dir_all(&built).with_context(|| format!("cannot make {}", built.display()))?;
    let dump = built.join("dump");
    build(&go, &sources.join("dump"), "local", &dump)?;

    go_table(&go, &sources, &built, &dump)?;
    grpc_table(&go, &sources, &built, &dump)?;
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

fn grpc_table(go: &Path, sources: &Path, built: &Path, dump: &Path) -> Result<()> {
    let mut table = format!(
        "# Offsets in {TRANSPORT}, each since a release up to the next one that is told; nothing\n\
         # is known of later minor versions than the last. `-` where there is no such member; with a star whether it is a pointer.\n\
         # Written by `cargo xtask go-offsets`.\nversion {}\n",
        GRPC_MEMBERS.join(" ")
    );
    let members = GRPC_MEMBERS.map(|member| match member.strip_prefix('*') {
        Some(member) => format!("*{TRANSPORT}.{member}"),
        None => format!("{TRANSPORT}.{member}"),
    });
    let ask = |(minor, patch): (u32, u32)| -> Result<String> {
        let release = format!("1.{minor}.{patch}");
        let program = built.join(format!("grpc-{release}")).join("sample");
        say::step(format!("asking grpc-go {release}"), || {
            build_grpc(go, &sources.join("grpc/main.go"), &release, &program)?;
            let row = row(dump, &program, &members)?;
            fs::remove_file(&program)?;
            Ok(row)
        })
    };
    let all = grpc_releases(go)?;
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
            let _ = writeln!(table, "1.{minor}.{patch} {row}");
        }
        before = Some(row);
    }
    write(GRPC_TABLE, &table)
}

fn write(table: &str, text: &str) -> Result<()> {
    fs::write(places::workspace().join(table), text)
        .with_context(|| format!("cannot write {table}"))?;
    say::note(format!("{table} is written"));
    Ok(())
}

/// All releases of grpc-go from the first version on that is asked: the second and third number of each, in order.
fn grpc_releases(go: &Path) -> Result<Vec<(u32, u32)>> {
    let told = Command::new(go)
        .current_dir(places::target()?)
        .args(["list", "-m", "-versions", GRPC])
        .output()
        .context("cannot run go")?;
    let told = String::from_utf8(told.stdout)?;
    let mut releases: Vec<(u32, u32)> = told
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("v1.")?.split_once('.'))
        .filter_map(|(minor, patch)| Some((minor.parse().ok()?, patch.parse().ok()?)))
        .filter(|(minor, _)| *minor >= GRPC_SINCE)
        .collect();
    ensure!(!releases.is_empty(), "Go tells no versions of {GRPC}");
    releases.sort_unstable();
    Ok(releases)
}

/// Builds the program with that release of grpc-go.
fn build_grpc(go: &Path, source: &Path, release: &str, to: &Path) -> Result<()> {
    let folder = to.parent().context("a program in no folder")?;
    fs::create_dir_all(folder)?;
    fs::copy(source, folder.join("main.go"))?;
    // Its other requirements follow from this one.
    let module = format!("module sample\n\ngo 1.19\n\nrequire {GRPC} v{release}\n");
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
