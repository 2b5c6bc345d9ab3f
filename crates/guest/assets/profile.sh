# RAVE: for login shells of the Bourne family. Debian's own starts id(1) and run-parts(8): under software emulation that
# takes longer than most commands.
case "${EUID:-$(id -u)}" in
0) PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin ;;
*) PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games ;;
esac
export PATH

# Interactive bash, but not as sh.
if [ -n "${PS1-}" ] && [ -n "${BASH-}" ] && [ "$BASH" != /bin/sh ] && [ -r /etc/bash.bashrc ]; then
    . /etc/bash.bashrc
fi

for file in /etc/profile.d/*.sh; do
    [ ! -r "$file" ] || . "$file"
done
unset file
