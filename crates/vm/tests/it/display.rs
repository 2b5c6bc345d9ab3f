//! What a machine's screen shows: in a screenshot, in a window, and to connected clients.

use rave_testing::{or_skip, skip};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::{Child, Cmd, find_program, shell_quote};
use rave_vm::machine::{Display, DisplayServer, Machine, Password};
use rave_vm::qemu::Qemu;
use rave_vm::{Error, Instance};

use crate::guest::{Bench, sector_that_paints};

const PATIENCE: Duration = Duration::from_secs(60);

/// The colour that the guest paints: the video BIOS has 6 bits per channel.
const PAINTED: [u8; 3] = [0xa8, 0, 0];
/// QEMU shows the 320 by 200 pixels of the guest's mode twice as wide and as high.
const PAINTED_PIXELS: usize = 640 * 400;

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn wait_painted(instance: &Instance) {
    let log = &instance.machine().files.serial_log;
    wait("the guest paints", || fs::read_to_string(log).unwrap_or_default().contains("painted"));
}

/// The colours of a PNG, each with the number of its pixels.
fn colours(png: &Utf8Path) -> BTreeMap<[u8; 3], usize> {
    let mut reader = png::Decoder::new(BufReader::new(File::open(png).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    let mut colours = BTreeMap::new();
    for pixel in pixels.as_chunks::<3>().0 {
        *colours.entry(*pixel).or_default() += 1;
    }
    colours
}

#[test]
fn a_screenshot_shows_the_guests_screen_without_a_display() {
    let bench = Bench::new();
    let mut instance = bench.boot(bench.with_disk(&sector_that_paints())).unwrap();
    wait_painted(&instance);
    let png = bench.folder.join("screen.png");
    instance.screenshot(&png).unwrap();
    assert_eq!(colours(&png), BTreeMap::from([(PAINTED, PAINTED_PIXELS)]));
    let beside = |name: &str| name.starts_with(".screen");
    let left =
        bench.folder.read_dir_utf8().unwrap().find(|entry| beside(entry.as_ref().unwrap().file_name()));
    assert!(left.is_none(), "{left:?}");

    let folder = instance.screenshot(Utf8Path::new("/no/such/folder/screen.png")).unwrap_err();
    assert!(matches!(&folder, Error::Qmp { doing, .. } if doing == "screendump"), "{folder}");
    instance.kill().unwrap();
}

/// An X server without a physical screen. It keeps the screen's contents in a file, in the format of xwd(1).
struct Xvfb {
    server: Child,
    screen: Utf8PathBuf,
}

impl Xvfb {
    fn start(folder: &Utf8Path) -> Self {
        let command =
            Cmd::new("Xvfb").args(["-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]);
        let server = command.args(["-fbdir", folder.as_str()]).spawn().unwrap();
        Self { server, screen: folder.join("Xvfb_screen0") }
    }

    /// Its display number, which it prints once it is up.
    fn display(&self) -> String {
        let mut number = None;
        wait("Xvfb starts", || {
            number = self.server.tail().iter().find_map(|line| line.trim().parse::<u32>().ok());
            number.is_some()
        });
        format!(":{}", number.unwrap())
    }

    /// How many pixels of the screen have this colour.
    fn count(&self, [red, green, blue]: [u8; 3]) -> usize {
        let bytes = fs::read(&self.screen).unwrap();
        // XWDFile.h: big-endian words; the first is the header's size, the 20th the number of colours of 12 bytes each.
        let word = |index: usize| u32::from_be_bytes(bytes[index * 4..][..4].try_into().unwrap()) as usize;
        let pixels = &bytes[word(0) + word(19) * 12..];
        pixels.as_chunks::<4>().0.iter().filter(|pixel| pixel[..3] == [blue, green, red]).count()
    }
}

/// The same QEMU, with a display to open windows on.
fn on_display(bench: &Bench, display: &str) -> Qemu {
    let script = bench.folder.join("qemu");
    let program = shell_quote(bench.qemu.program.as_str());
    let text =
        format!("#!/bin/sh\nexec env DISPLAY={display} GDK_BACKEND=x11 NO_AT_BRIDGE=1 {program} \"$@\"\n");
    fs::write(&script, text).unwrap();
    Cmd::new("chmod").args(["+x", script.as_str()]).output().unwrap();
    Qemu { program: script, version: bench.qemu.version, fencer: None }
}

/// Boots the painting guest with this window on an X server, and looks for the window's contents there.
fn opens(window: Display, name: &str) {
    let bench = Bench::new();
    if find_program("Xvfb").is_none() {
        skip!("this host has no Xvfb");
    }
    let offers = bench.qemu.offers().unwrap();
    if !offers.display(name) {
        skip!("this QEMU cannot open a {name} window");
    }
    let x = Xvfb::start(&bench.folder);
    let qemu = on_display(&bench, &x.display());
    let machine = bench.with_disk(&sector_that_paints());
    let machine = Machine { display: window, clipboard: offers.clipboard(), ..machine };
    let instance = Instance::boot(machine, rave_vm::accel::Engine::Tcg, &qemu).unwrap();
    wait_painted(&instance);
    wait("the window shows it", || x.count(PAINTED) >= PAINTED_PIXELS);
    instance.kill().unwrap();
    wait("the window closes", || x.count(PAINTED) == 0);
}

#[test]
fn a_gtk_window_shows_the_guests_screen() {
    opens(Display::Gtk, "gtk");
}

#[test]
fn an_sdl_window_shows_the_guests_screen() {
    opens(Display::Sdl, "sdl");
}

/// A server on a port that was free a moment ago.
fn server() -> DisplayServer {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    DisplayServer { bind: Ipv4Addr::LOCALHOST.into(), port, password: Password::random().unwrap() }
}

fn boot_with(bench: &Bench, display: Display) -> Instance {
    let clipboard = bench.qemu.offers().unwrap().clipboard();
    bench.boot(Machine { display, clipboard, ..bench.machine("served") }).unwrap()
}

fn connect(server: &DisplayServer) -> TcpStream {
    let peer = TcpStream::connect((server.bind, server.port)).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer
}

fn read<const LENGTH: usize>(peer: &mut TcpStream) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    peer.read_exact(&mut bytes).unwrap();
    bytes
}

/// Checks that nothing listens on this port of another address: 127.0.0.2 also belongs to this host, and a server on
/// 0.0.0.0 would listen there.
fn only_on_loopback(server: &DisplayServer) {
    for other in [Ipv4Addr::new(127, 0, 0, 2).into(), "::1".parse().unwrap()] {
        assert!(TcpStream::connect(SocketAddr::new(other, server.port)).is_err(), "{other}");
    }
}

/// Runs openssl(1); an error if it is missing or lacks an algorithm.
fn openssl(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, rave_process::Error> {
    let output = Cmd::new("openssl").args(arguments).stdin_bytes(input.to_vec()).output();
    output.map(|output| output.stdout)
}

/// RFC 6143, 7.2.2: the challenge encrypted with DES, with the password as the key, the bits of each byte reversed.
fn vnc_answer(challenge: &[u8], password: &str) -> Result<Vec<u8>, rave_process::Error> {
    let key: Vec<String> = password.bytes().map(|byte| format!("{:02x}", byte.reverse_bits())).collect();
    let key = key.concat();
    let providers = ["-provider", "legacy", "-provider", "default"];
    openssl(&[&["enc", "-des-ecb", "-nopad", "-K", &key][..], &providers].concat(), challenge)
}

/// Performs the handshake of RFC 6143, 7.1; returns whether the server accepts this password.
fn vnc_lets_in(server: &DisplayServer, password: &str) -> Result<bool, rave_process::Error> {
    let mut peer = connect(server);
    assert_eq!(&read::<12>(&mut peer), b"RFB 003.008\n");
    peer.write_all(b"RFB 003.008\n").unwrap();
    assert_eq!(read::<2>(&mut peer), [1, 2], "VNC authentication and nothing else");
    peer.write_all(&[2]).unwrap();
    let challenge: [u8; 16] = read(&mut peer);
    peer.write_all(&vnc_answer(&challenge, password)?).unwrap();
    Ok(read::<4>(&mut peer) == [0; 4])
}

#[test]
fn vnc_listens_only_on_loopback_and_requires_the_password() {
    let bench = Bench::new();
    let server = server();
    let instance = boot_with(&bench, Display::Vnc(server.clone()));
    assert!(!instance.command().contains(server.password.as_str()));
    only_on_loopback(&server);
    assert!(!or_skip!(vnc_lets_in(&server, "password")));
    assert!(or_skip!(vnc_lets_in(&server, server.password.as_str())));
    instance.kill().unwrap();
}

/// Performs the handshake of spice/protocol.h; returns whether the server accepts this password: a header of magic,
/// version 2.2 and size, then `SpiceLinkMess` for channel 1 (main) without capabilities, all little-endian. The reply
/// contains the server's RSA key after an error code.
fn spice_lets_in(
    server: &DisplayServer,
    password: &str,
    folder: &Utf8Path,
) -> Result<bool, rave_process::Error> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let mut peer = connect(server);
    let message = [&b"REDQ"[..], &words(&[2, 2, 18, 0]), &[1, 0], &words(&[0, 0, 18])].concat();
    peer.write_all(&message).unwrap();
    let header: [u8; 16] = read(&mut peer);
    assert_eq!(&header[..4], b"REDQ");
    let mut reply = vec![0; u32::from_le_bytes(header[12..].try_into().unwrap()).try_into().unwrap()];
    peer.read_exact(&mut reply).unwrap();
    assert_eq!(reply[..4], [0; 4], "no error");

    let key = folder.join("spice.der");
    fs::write(&key, &reply[4..4 + 162]).unwrap();
    let encrypt =
        ["pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-pkeyopt", "rsa_padding_mode:oaep", "-inkey"];
    let ticket = openssl(&[&encrypt[..], &[key.as_str()]].concat(), format!("{password}\0").as_bytes())?;
    peer.write_all(&ticket).unwrap();
    Ok(read::<4>(&mut peer) == [0; 4])
}

#[test]
fn spice_listens_only_on_loopback_and_requires_the_password() {
    let bench = Bench::new();
    if !bench.qemu.offers().unwrap().spice() {
        skip!("this QEMU does not support SPICE");
    }
    let server = server();
    let instance = boot_with(&bench, Display::Spice(server.clone()));
    assert!(!instance.command().contains(server.password.as_str()));
    only_on_loopback(&server);
    assert!(!or_skip!(spice_lets_in(&server, "password", &bench.folder)));
    assert!(or_skip!(spice_lets_in(&server, server.password.as_str(), &bench.folder)));
    instance.kill().unwrap();
}
