//! Media with user data, as made by hypervisors and clouds.

use std::collections::BTreeMap;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use rave_vm::machine::{DiskFormat, ExtraDisk, Interface};

/// Paths on a medium, and the content of the files.
pub(crate) type Files = BTreeMap<String, String>;

/// The address that QEMU gives a machine's first card.
pub(crate) const MAC: &str = "52:54:00:12:34:56";
/// An address that QEMU's DHCP server never assigns.
pub(crate) const ADDRESS: &str = "10.0.2.77";

/// A medium, as made by its hypervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Medium {
    /// ISO 9660 with the label `cidata`, as made by Proxmox and libvirt; in a CD drive.
    NoCloud,
    /// FAT with the label `config-2`, one of the two kinds that `OpenStack` makes; a disk.
    ConfigDrive,
}

impl Medium {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NoCloud => "cidata",
            Self::ConfigDrive => "config-2",
        }
    }

    /// Writes the medium into `folder`.
    pub(crate) fn write(self, folder: &Utf8Path, files: &Files) -> ExtraDisk {
        let tree = folder.join(self.label());
        for (path, text) in files {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let path = folder.join(format!("{}.img", self.label()));
        let interface = match self {
            Self::NoCloud => {
                run(
                    "xorriso",
                    &[
                        "-as",
                        "mkisofs",
                        "-quiet",
                        "-joliet",
                        "-rational-rock",
                        "-volid",
                        "cidata",
                        "-o",
                        path.as_str(),
                        tree.as_str(),
                    ],
                );
                Interface::Cd
            }
            Self::ConfigDrive => {
                run("mkfs.vfat", &["-n", "config-2", "-C", path.as_str(), "4096"]);
                let parts = fs::read_dir(&tree).unwrap().map(|entry| entry.unwrap().path());
                for part in parts {
                    run("mcopy", &["-s", "-i", path.as_str(), part.to_str().unwrap(), "::/"]);
                }
                Interface::Virtio
            }
        };
        ExtraDisk { path, format: DiskFormat::Raw, interface, read_only: true }
    }

    /// The files that a third-party program finds on a medium.
    fn read_back(self, image: &Utf8Path, folder: &Utf8Path) -> Files {
        let tree = folder.join("read-back");
        fs::create_dir(&tree).unwrap();
        match self {
            Self::NoCloud => {
                run("xorriso", &["-osirrox", "on", "-indev", image.as_str(), "-extract", "/", tree.as_str()]);
            }
            Self::ConfigDrive => run("mcopy", &["-s", "-i", image.as_str(), "::/*", tree.as_str()]),
        }
        let mut found = Files::new();
        collect(&tree, &tree, &mut found);
        found
    }
}

fn run(program: &str, arguments: &[&str]) {
    Cmd::new(program).args(arguments.iter().copied()).output().unwrap();
}

fn collect(root: &Utf8Path, folder: &Utf8Path, found: &mut Files) {
    for entry in folder.read_dir_utf8().unwrap() {
        let path: Utf8PathBuf = entry.unwrap().into_path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().to_string();
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

fn files<const N: usize>(files: [(&str, String); N]) -> Files {
    files.map(|(path, text)| (path.to_owned(), text)).into()
}

/// User data with a key, a file and a command, and a network with an address besides DHCP's, as written by Proxmox.
pub(crate) fn no_cloud(key: &str) -> Files {
    let user = format!(
        "#cloud-config\nssh_authorized_keys:\n  - {key}\nwrite_files:\n  - path: /etc/rave/from-seed\n    content: written\n\
         runcmd:\n  - [touch, /run/rave-seed-ran]\n"
    );
    let network = format!(
        "version: 1\nconfig:\n  - type: physical\n    name: eth0\n    mac_address: '{MAC}'\n    subnets:\n      - type: dhcp4\n      \
         - type: static\n        address: {ADDRESS}/24\n"
    );
    files([
        ("meta-data", "instance-id: seed-1\nlocal-hostname: box-1\n".into()),
        ("user-data", user),
        ("network-config", network),
    ])
}

/// A key and a name from the cloud, and user data with an additional user, without growth.
pub(crate) fn config_drive(key: &str) -> Files {
    let meta = serde_json::json!({
        "uuid": "7f3c5d0e-5a0b-4c57-9a51-726176657631", "name": "drive-1", "hostname": "drive-1", "public_keys": {"mine": key},
    });
    let network = serde_json::json!({
        "links": [{"id": "card", "type": "phy", "ethernet_mac_address": MAC}],
        "networks": [{"id": "lan", "link": "card", "type": "ipv4_dhcp", "network_id": "lan"}],
        "services": [],
    });
    let user = format!(
        "#cloud-config\nusers:\n  - default\n  - name: other\n    shell: /bin/bash\n    ssh_authorized_keys:\n      - {key}\n\
         growpart:\n  mode: 'off'\n"
    );
    files([
        ("openstack/latest/meta_data.json", meta.to_string()),
        ("openstack/latest/network_data.json", network.to_string()),
        ("openstack/latest/user_data", user),
    ])
}

#[test]
fn a_medium_has_its_label_and_its_files() {
    for (medium, written) in [
        (Medium::NoCloud, no_cloud("ssh-ed25519 AAAA me")),
        (Medium::ConfigDrive, config_drive("ssh-ed25519 AAAA me")),
    ] {
        let place = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(place.path()).unwrap();
        let disk = medium.write(folder, &written);
        // cloud-init uses the same query.
        let label =
            Cmd::new("blkid").args(["-o", "value", "-s", "LABEL", disk.path.as_str()]).output().unwrap();
        assert_eq!(label.text(), medium.label());
        assert_eq!(medium.read_back(&disk.path, folder), written);
    }
}

#[test]
fn user_data_matches_cloud_inits_schema() {
    if rave_process::find_program("cloud-init").is_none() {
        rave_testing::skip!("cloud-init is missing");
    }
    let place = tempfile::tempdir().unwrap();
    let file = Utf8Path::from_path(place.path()).unwrap().join("user-data");
    for text in [
        &no_cloud("ssh-ed25519 AAAA me")["user-data"],
        &config_drive("ssh-ed25519 AAAA me")["openstack/latest/user_data"],
    ] {
        fs::write(&file, text).unwrap();
        run("cloud-init", &["schema", "--config-file", file.as_str()]);
    }
}
