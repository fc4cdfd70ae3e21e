//! `cargo xtask go-offsets`: where the agent finds what it reads of Go processes, by version of Go.
//!
//! Each compiler, fetched through the module proxy as `GOTOOLCHAIN` does it, builds the same program, and its own debugging
//! information is asked. Nothing is typed by hand. The first and the last release of a version must agree: the agent takes
//! what is between for the same.

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
const MEMBERS: [&str; 18] = [
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
    "net/http.transportRequest.ctx",
    "net/http.Request.ctx",
    "context.cancelCtx.err",
];

const TABLE: &str = "agent/src/runtime/go/layouts.txt";

/// Writes the table.
pub(crate) fn task() -> Result<ExitCode> {
    let go = cargo::find("go").context("go is missing: see tests/system-packages.txt")?;
    let sources = places::workspace().join("xtask/go_offsets");
    let built = places::target()?.join("go-offsets");
    fs::create_dir_all(&built).with_context(|| format!("cannot make {}", built.display()))?;
    let dump = built.join("dump");
    build(&go, &sources.join("dump"), "local", &dump)?;

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
                build(&go, &sources.join("sample"), &toolchain, &program)?;
                rows.push(row(&dump, &program)?);
                Ok::<_, anyhow::Error>(())
            })?;
        }
        ensure!(
            rows[0] == rows[1],
            "Go {version}'s releases differ, {rows:?}: the table must tell them apart"
        );
        let _ = writeln!(table, "{version} {}", rows[0]);
    }
    fs::write(places::workspace().join(TABLE), table)
        .with_context(|| format!("cannot write {TABLE}"))?;
    say::note(format!("{TABLE} is written"));
    Ok(ExitCode::SUCCESS)
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
fn row(dump: &Path, program: &Path) -> Result<String> {
    let told = Command::new(dump).arg(program).args(MEMBERS).output().context("cannot run dump")?;
    if !told.status.success() {
        bail!("{}", String::from_utf8_lossy(&told.stderr));
    }
    let told = String::from_utf8(told.stdout)?;
    let offsets: Vec<&str> =
        told.lines().map(|line| line.split_once(' ').map_or("-", |(_, offset)| offset)).collect();
    ensure!(offsets.len() == MEMBERS.len(), "dump told of {} members", offsets.len());
    Ok(offsets.join(" "))
}
