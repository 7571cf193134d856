# shellcheck shell=bash
# `./dev demo`, sourced by dev: 512 MiB of this machine's own files through a server of 64 MiB, every byte checked.
: "${root:?}"
. "$root/tests/support/server.sh"

demo_bound=$((128 << 20)) # region and as much again for everything else the server needs

demo_step() {
    local bold='' plain=''
    if [[ -t 1 && -z ${NO_COLOR:-} ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi
    printf '\n%s== %s%s\n' "$bold" "$*" "$plain"
}

demo() {
    local build=$root/build/gcc-release farheap proven peak start=$SECONDS
    build gcc-release farheapd farheap farheap-demo
    farheap=$build/client/farheap
    server_start "$build" --memory=64MiB --swap-size=2GiB
    demo_step "a server of 64 MiB: $server_url, 2 GiB of swap below, console http://$server_admin/ui/"
    "$build/client/farheap-demo" -u "$server_url" --bytes 512MiB --server-pid "$server_pid" \
        --region-bytes 67108864 --slack-bytes 64MiB /usr/lib /usr/share | tee "$server_dir/demo"
    proven=$(tail -n 1 "$server_dir/demo")
    [[ $proven = proven:* ]] || die "the demo did not say what it proved"
    demo_step "farheap info"
    "$farheap" -u "$server_url" info
    demo_step "farheap bench: 10 s, every page carries its own check"
    "$farheap" -u "$server_url" bench -w b --size 4KiB --keys 20000 -c 8 -t 2 -d 10s --verify --assert errors==0
    "$farheap" -u "$server_url" ping -q || die "the server does not answer any more"
    peak=$(server_peak)
    [[ $peak -le $demo_bound ]] || die "the server's memory peaked at $((peak >> 20)) MiB, bound $((demo_bound >> 20)) MiB"
    server_stop
    rm -rf "$server_dir"
    [[ ! -e $server_dir ]] || die "something is left in $server_dir"
    printf '\n%s; load tester: no wrong byte, peak then %d MiB; clean stop, nothing left; %d s in all\n' \
        "$proven" $((peak >> 20)) $((SECONDS - start))
}
