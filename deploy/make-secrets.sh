#!/bin/sh
# Make the secrets of a deployment in a directory of this user's own: passwords and users.acl for
# the server, and for each of runbus's programs a settings file that holds its URL.
# Run again, it keeps the passwords and makes what is missing, and users.acl for this version. It
# writes into the files that are there: a container has mounted those very files.
#
#   make-secrets.sh DIRECTORY URL_AFTER_THE_PASSWORD [PREFIX]
#   make-secrets.sh secrets valkey:6379/0
set -eu
umask 022
directory=$1 server=$2 prefix=${3:-runbus} scheme=${RUNBUS_SCHEME:-redis}
runbus=${RUNBUS_COMMAND:-runbus}

mkdir -p "$directory"
cd "$directory"
# The directory keeps others out. The files in it may be read, since each goes into a container
# whose user is another one.
chmod 700 .
# The new users go over the old ones, then what is left of those is cut off. A file that is emptied
# first lets everybody in, should the server read it then.
trap 'rm -f users.acl.new' EXIT
$runbus acl --prefix "$prefix" --password-file passwords > users.acl.new
cat users.acl.new 1<> users.acl
dd if=/dev/null of=users.acl bs=1 seek="$(($(wc -c < users.acl.new)))" 2> /dev/null

# A password as it stands in a URL: with any special character, each byte of it as %xx.
in_url() {
  case $1 in
    *[!A-Za-z0-9._~-]*) printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g' ;;
    *) printf '%s' "$1" ;;
  esac
}

while IFS= read -r line || [ -n "$line" ]; do
  user=${line%%:*} password=${line#*:}
  case $line in
    admin:*) continue ;; # the operator's is for people, who find it in passwords
    *:*) ;;
    *) continue ;;
  esac
  printf 'url = "%s://%s:%s@%s"\nprefix = "%s"\n' \
    "$scheme" "$user" "$(in_url "$password")" "$server" "$prefix" > "$user.toml"
done < passwords
# Who may log in to the page: a line name=token each.
[ -s web-tokens ] || printf 'operator=%s\n' "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" > web-tokens
