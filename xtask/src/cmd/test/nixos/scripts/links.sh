# The payload's links below a root. udevd reads its rules again and again while a link leads to their folder, so the folders on the way are real.
links() {
    mkdir -p "$1/nix"
@links@
    for folder in lib lib/udev lib/udev/rules.d; do
        rm -f "$1/nix/$folder"
        mkdir "$1/nix/$folder"
        ln -s "@payload@/$folder"/* "$1/nix/$folder/"
    done
}
