//! The operating system account that runs the server. Postgres refuses root, so root hands it to an ordinary one.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User, getegid, geteuid};

use super::error::PostgresError;

/// Who runs the server.
#[derive(Debug, Clone)]
pub(super) struct Account {
    name: String,
    uid: u32,
    gid: u32,
    /// We are root and must become this account.
    switch: bool,
}

impl Account {
    /// Ourselves; as root the owner of the existing data, else `postgres`, else `nobody`.
    pub fn choose(data: &Path) -> Result<Self, PostgresError> {
        let owner = fs::metadata(data).ok().map(|m| m.uid());
        let me = geteuid();
        if !me.is_root() {
            return match owner {
                Some(owner) if owner != me.as_raw() => Err(PostgresError::NotOwner {
                    dir: data.to_owned(),
                    owner,
                }),
                _ => Ok(Self {
                    name: me.to_string(),
                    uid: me.as_raw(),
                    gid: getegid().as_raw(),
                    switch: false,
                }),
            };
        }
        let made_it = owner
            .filter(|&uid| uid != 0)
            .and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten());
        let by_name = |name| User::from_name(name).ok().flatten();
        let user = made_it
            .or_else(|| by_name("postgres"))
            .or_else(|| by_name("nobody"))
            .ok_or(PostgresError::NoServerUser)?;
        Ok(Self {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            switch: true,
        })
    }

    /// True when the server runs under another account than kith.
    pub fn is_other(&self) -> bool {
        self.switch
    }

    /// True when this account owns a directory that is no symbolic link.
    pub fn owns(&self, dir: &Path) -> bool {
        fs::symlink_metadata(dir).is_ok_and(|m| m.is_dir() && m.uid() == self.uid)
    }

    /// Gives a file of ours to the account.
    pub fn give(&self, path: &Path) -> io::Result<()> {
        if self.switch {
            chown(path, Some(self.uid), Some(self.gid))
        } else {
            Ok(())
        }
    }

    /// A command that runs as the account, away from our terminal, our environment's Postgres variables and Ctrl-C.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .process_group(0);
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Checks that the account may pass through every directory above `target`.
    pub fn check_reaches(&self, target: &Path) -> Result<(), PostgresError> {
        if !self.switch {
            return Ok(());
        }
        let stops = |dir: &&Path| fs::metadata(dir).is_ok_and(|m| !self.may_pass(m.mode(), m.uid(), m.gid()));
        match target
            .ancestors()
            .skip(1)
            .filter(|d| !d.as_os_str().is_empty())
            .find(stops)
        {
            None => Ok(()),
            Some(blocked) => Err(PostgresError::Unreachable {
                user: self.name.clone(),
                blocked: PathBuf::from(blocked),
                target: target.to_owned(),
            }),
        }
    }

    fn may_pass(&self, mode: u32, owner: u32, group: u32) -> bool {
        let bit = match () {
            () if owner == self.uid => 0o100,
            () if group == self.gid => 0o010,
            () => 0o001,
        };
        mode & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_that_applies_decides_who_may_pass() {
        let account = Account {
            name: "server".into(),
            uid: 101,
            gid: 104,
            switch: true,
        };
        assert!(account.may_pass(0o711, 0, 0));
        assert!(!account.may_pass(0o700, 0, 0));
        assert!(account.may_pass(0o700, 101, 0));
        assert!(
            !account.may_pass(0o701, 0, 104),
            "the group's missing bit is not made up by the others'"
        );
    }
}
