//! The install command of each package manager.

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// Debian, Ubuntu and their derivatives.
    Apt,
    /// Fedora, RHEL.
    Dnf,
    /// Arch.
    Pacman,
    /// openSUSE.
    Zypper,
    /// macOS.
    Brew,
}

/// How long apt waits for another apt or dpkg, in seconds.
pub(crate) const LOCK_TIMEOUT: u32 = 600;

impl Manager {
    /// The first manager that exists; a distribution's own is preferred to Homebrew, which may also be on Linux.
    pub fn detect(is_here: &dyn Fn(&str) -> bool) -> Option<Self> {
        let all = [
            (Self::Apt, "apt-get"),
            (Self::Dnf, "dnf"),
            (Self::Pacman, "pacman"),
            (Self::Zypper, "zypper"),
            (Self::Brew, "brew"),
        ];
        all.into_iter().find(|(_, program)| is_here(program)).map(|(manager, _)| manager)
    }

    /// Whether it must run as root.
    pub fn needs_root(self) -> bool {
        self != Self::Brew
    }

    /// The command that installs `packages`, without sudo. apt may not remove packages, and with `--yes` does not
    /// downgrade any.
    pub fn install(self, packages: &[String]) -> Vec<String> {
        let start: &[&str] = match self {
            Self::Apt => &["apt-get", "install", "--yes", "--no-install-recommends", "--no-remove"],
            Self::Dnf => &["dnf", "install", "--assumeyes", "--setopt=install_weak_deps=False"],
            Self::Pacman => &["pacman", "--sync", "--needed", "--noconfirm"],
            Self::Zypper => &["zypper", "--non-interactive", "install", "--no-recommends"],
            Self::Brew => &["brew", "install"],
        };
        start.iter().map(|&word| word.to_owned()).chain(packages.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::for_tests::FOR_TESTS;
    use crate::requirements::REQUIREMENTS;
    use expect_test::expect;

    #[test]
    fn the_distributions_own_manager_wins() {
        assert_eq!(Manager::detect(&|name| name == "brew" || name == "dnf"), Some(Manager::Dnf));
        assert_eq!(Manager::detect(&|_| false), None);
    }

    fn everything(manager: Manager) -> String {
        let mut packages: Vec<String> = Vec::new();
        let known =
            REQUIREMENTS.iter().chain(FOR_TESTS).filter_map(|requirement| requirement.packages.of(manager));
        for name in known.flat_map(str::split_whitespace) {
            if !packages.iter().any(|known| known == name) {
                packages.push(name.to_owned());
            }
        }
        manager.install(&packages).join(" ")
    }

    #[test]
    #[allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]
    fn one_command_installs_everything() {
        let all = [Manager::Apt, Manager::Dnf, Manager::Pacman, Manager::Zypper, Manager::Brew];
        expect![[r#"
            apt-get install --yes --no-install-recommends --no-remove qemu-system-x86 qemu-system-common qemu-system-gui qemu-system-modules-spice qemu-utils ovmf mmdebstrap apt mount debian-archive-keyring e2fsprogs libarchive13 dosfstools mtools fdisk grub-common grub-pc-bin grub-efi-amd64-bin xorriso squashfs-tools zstd libc6-dev nodejs npm git openssh-client nginx openssh-server sudo systemd unzip xz-utils curl bzip2 lz4 less gdisk libxml2-utils chromium xvfb
            dnf install --assumeyes --setopt=install_weak_deps=False qemu-system-x86-core qemu-device-display-virtio-vga qemu-ui-gtk qemu-ui-sdl qemu-ui-spice-app qemu-ui-spice-core qemu-char-spice qemu-img edk2-ovmf mmdebstrap apt util-linux debian-keyring e2fsprogs libarchive dosfstools mtools grub2-tools grub2-pc-modules grub2-efi-x64-modules xorriso squashfs-tools zstd glibc-static nodejs nodejs-npm git openssh-clients nginx openssh-server sudo systemd unzip xz curl bzip2 lz4 less gdisk libxml2 chromium xorg-x11-server-Xvfb
            pacman --sync --needed --noconfirm qemu-system-x86 qemu-hw-display-virtio-vga qemu-ui-gtk qemu-ui-sdl qemu-ui-spice-app qemu-ui-spice-core qemu-chardev-spice qemu-img edk2-ovmf util-linux debian-archive-keyring e2fsprogs libarchive dosfstools mtools grub libisoburn squashfs-tools zstd glibc nodejs npm git openssh nginx sudo systemd unzip xz curl bzip2 lz4 less gptfdisk libxml2 chromium xorg-server-xvfb
            zypper --non-interactive install --no-recommends qemu-x86 qemu-hw-display-virtio-vga qemu-ui-gtk qemu-spice qemu-tools qemu-ovmf-x86_64 util-linux e2fsprogs libarchive13 dosfstools mtools grub2 grub2-i386-pc grub2-x86_64-efi xorriso squashfs zstd glibc-devel-static nodejs npm git openssh-clients nginx openssh-server sudo systemd unzip xz curl bzip2 lz4 less gptfdisk libxml2-tools chromium xorg-x11-server-Xvfb
            brew install qemu e2fsprogs dosfstools mtools util-linux xorriso squashfs zstd node git openssh nginx unzip xz curl bzip2 lz4 less gptfdisk libxml2"#]].assert_eq(&all.map(everything).join("\n"));
    }
}
