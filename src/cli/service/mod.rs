//! `devstream service`: installs a role as a systemd service, and removes it.
//!
//! In: a role and its flags. Out: hardened units in /etc/systemd/system, enabled and started. `plan` makes the units
//! (`units`) and checks the service's access to its key (`access`); `installed` finds what is installed.

mod access;
mod installed;
mod plan;
mod units;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Program;

use anyhow::{Context as _, anyhow, bail, ensure};

use self::access::hidden_directory;
use self::installed::{ServiceInstance, UNITS, directory, installed, profile};
pub(super) use self::installed::{left_state, service_with_key};
use self::plan::{Plan, plan};
use self::units::Unit;
use super::args::{Install, ServiceManagement, Uninstall};
use super::{Failure, output};

/// Exists if and only if systemd runs this machine (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

pub(super) fn run(command: ServiceManagement) -> Result<(), Failure> {
    match command {
        ServiceManagement::Install(install) => self::install(&install),
        ServiceManagement::Uninstall(uninstall) => self::uninstall(&uninstall).map_err(Failure::Other),
    }
}

fn install(install: &Install) -> Result<(), Failure> {
    let program = match &install.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().context("cannot determine this program's path; give it with --program")?,
    };
    let root = install.root.as_deref();
    let instance = ServiceInstance { role: install.role, profile: profile(install.role, install.profile.as_ref())? };
    let Plan { units, needed } = plan(&instance, &program, &install.arguments, root).map_err(Failure::Usage)?;
    if install.print {
        for Unit { name, text } in &units {
            output::print(&format!("# /{UNITS}/{name}\n{text}"));
        }
        return Ok(());
    }
    if root.is_none() {
        check_prerequisites(&program, &needed)?;
    }
    Ok(replace(&instance.unit_name(), &units, root)?)
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Unused: services need systemd.
#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

fn require_systemd_platform() -> anyhow::Result<()> {
    let alternative = if cfg!(windows) { "the Task Scheduler" } else { "launchd" };
    ensure!(cfg!(target_os = "linux"), "services need systemd; on this system, run the role with {alternative}");
    Ok(())
}

fn check_prerequisites(program: &Path, needed: &[(PathBuf, &str)]) -> Result<(), Failure> {
    require_systemd_platform().map_err(Failure::Usage)?;
    if !is_root() {
        return Err(Failure::Usage(anyhow!("only root can install services; print the units with --print")));
    }
    if let Some(directory) = hidden_directory(program) {
        let advice = "first move it, for example to /usr/local/bin";
        return Err(Failure::Usage(anyhow!(
            "{} is below {directory}, which is hidden from services: {advice}",
            program.display()
        )));
    }
    if let Some((missing, advice)) = needed.iter().find(|(file, _)| !file.exists()) {
        return Err(Failure::Usage(anyhow!("{} does not exist: {advice}", missing.display())));
    }
    Ok(())
}

/// Replaces the service's installed units, unless they are the same, and starts the service.
fn replace(service: &str, units: &[Unit], root: Option<&Path>) -> anyhow::Result<()> {
    let directory = directory(root);
    let old = installed(service, &directory);
    let is_current = |unit: &Unit| fs::read_to_string(directory.join(&unit.name)).is_ok_and(|text| text == unit.text);
    if old.len() != units.len() || !units.iter().all(is_current) {
        // Running services would keep the sockets and limits of the old units.
        remove(&old, root)?;
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        for Unit { name, text } in units {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            output::eprint(&format!("service: wrote {}", path.display()));
        }
        systemctl(root, &["daemon-reload"], &[])?;
    }
    let names: Vec<_> = units.iter().map(|unit| unit.name.clone()).collect();
    systemctl(root, &["enable", "--now"], &names)
}

fn uninstall(uninstall: &Uninstall) -> anyhow::Result<()> {
    let root = uninstall.root.as_deref();
    if root.is_none() {
        require_systemd_platform()?;
        ensure!(is_root(), "only root can remove services");
    }
    let instance =
        ServiceInstance { role: uninstall.role, profile: profile(uninstall.role, uninstall.profile.as_ref())? };
    let (unit, directory) = (instance.unit_name(), directory(root));
    let units = installed(&unit, &directory);
    if units.is_empty() {
        output::eprint(&format!("service: no units of the {unit} in {}", directory.display()));
    }
    remove(&units, root)
}

fn remove(units: &[String], root: Option<&Path>) -> anyhow::Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    systemctl(root, &["disable", "--now"], units)?;
    for unit in units {
        let path = directory(root).join(unit);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        output::eprint(&format!("service: removed {}", path.display()));
    }
    systemctl(root, &["daemon-reload"], &[])
}

/// Runs `systemctl`, or prints its command line where systemd does not run.
fn systemctl(root: Option<&Path>, args: &[&str], units: &[String]) -> anyhow::Result<()> {
    if root.is_some() {
        return Ok(());
    }
    let line = format!("systemctl {} {}", args.join(" "), units.join(" "));
    let line = line.trim_end();
    if !Path::new(BOOTED).is_dir() {
        output::eprint(&format!("service: systemd is not running; once it is, run: {line}"));
        return Ok(());
    }
    let status =
        Program::new("systemctl").args(args).args(units).status().with_context(|| format!("cannot run {line}"))?;
    if !status.success() {
        bail!("`{line}` failed ({status}); see `systemctl status 'devstream-*'` and `journalctl -u 'devstream-*'`");
    }
    Ok(())
}
