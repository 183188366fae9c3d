//! What processes have used so far, read from `/proc`.

use anyhow::{Context as _, Result};

/// The kernel counts processor time in hundredths of a second, whatever the machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time of a process with its threads.
pub fn cpu_s(pid: u32) -> Result<f64> {
    let stat = Stat::read(pid)?;
    Ok(stat.own as f64 / TICKS_PER_SECOND)
}

/// Seconds of processor time of a process and its children, those that have ended among them.
pub fn family_cpu_s(parent: u32) -> Result<f64> {
    let stat = Stat::read(parent)?;
    let mut ticks = stat.own + stat.of_ended_children;
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process may end between the listing and the look.
        if let Ok(child) = Stat::read(pid)
            && child.parent == parent
        {
            ticks += child.own;
        }
    }
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// The parent of a process.
pub fn parent_of(pid: u32) -> Result<u32> {
    Ok(Stat::read(pid)?.parent)
}

/// The most memory that this process has had resident since [`forget_peak`], in megabytes.
pub fn peak_rss_mb() -> Result<f64> {
    peak_of(std::process::id())
}

/// The most memory that a process has had resident, in megabytes.
pub fn peak_of(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb: f64 = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .and_then(|kb| kb.trim().parse().ok())
        .context("/proc/PID/status does not tell VmHWM")?;
    Ok(kb / 1000.0)
}

/// Lets the peak begin anew: what was needed to prepare the ground is not the daemon's.
pub fn forget_peak() -> Result<()> {
    Ok(std::fs::write("/proc/self/clear_refs", "5")?)
}

struct Stat {
    parent: u32,
    own: u64,
    of_ended_children: u64,
}

impl Stat {
    fn read(pid: u32) -> Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name stands in parentheses and may contain blanks.
        let (_, rest) = text.rsplit_once(')').context("/proc/PID/stat has no name")?;
        let fields: Vec<u64> = rest.split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
        let field = |n: usize| fields.get(n).copied().unwrap_or(0);
        Ok(Self {
            parent: u32::try_from(field(1)).unwrap_or(0),
            own: field(11) + field(12),
            of_ended_children: field(13) + field(14),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let me = std::process::id();
        let parent = Stat::read(me).unwrap().parent;
        let mut sum = 0_u64;
        while cpu_s(me).unwrap() <= 0.0 {
            sum = (0..1_000_000).fold(sum, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
        }
        assert!(
            family_cpu_s(parent).unwrap() >= cpu_s(me).unwrap() - 0.02,
            "{sum}"
        );
        assert!(peak_rss_mb().unwrap() > 1.0);
    }
}
