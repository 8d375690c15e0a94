#!/usr/bin/env bash
# A job on a slice of Cloud TPUs, all its hosts together: asks for the slice as a queued resource,
# copies this checkout (what is committed), runs redalign on every host, fetches the results to
# runs/NAME where you stand, and deletes the slice. The workdir is the folder NAME of a bucket, so it
# outlives the slice: run the same command again after any interruption and it goes on. See
# docs/clusters.md.
#
#   launch/tpu_vm.sh --name=redundancy --zone=us-east5-b --accelerator_type=v6e-16 \
#       --runtime_version=v2-alpha-tpuv6e --bucket=my-bucket --spot \
#       -- --job=sweep --config=configs/redundancy.py --config.sweep.seeds=64
#
#   --name=NAME               of the slice and of the workdir
#   --zone=ZONE, --accelerator_type=TYPE, --runtime_version=VERSION    as gcloud takes them
#   --bucket=BUCKET           Cloud Storage; every host mounts it at /mnt/bucket
#   --spot                    a slice that is cheaper and may be taken away; it is then asked for anew
#   --poll=SECONDS            between looks at the state, 30 by default
#   --dry_run                 print every command, run none
#   --delete                  only delete the slice, and what runs on it
#   -- ARGUMENT...            for redalign, without --workdir
set -euo pipefail
exec 3>&1 # for --dry_run, also inside $(...)

readonly MOUNT=/mnt/bucket SAVED=75 BAD_INPUT=2 PATIENCE=5
name='' zone='' accelerator_type='' runtime_version='' bucket='' poll=30
spot='' dry_run='' delete_only=''

say() { echo "tpu_vm.sh: $*" >&2; }
die() {
    say "$1"
    exit "${2:-$BAD_INPUT}"
}

while [ $# -gt 0 ]; do
    case $1 in
        --name=* | --zone=* | --accelerator_type=* | --runtime_version=* | --bucket=* | --poll=*)
            flag=${1%%=*}
            printf -v "${flag#--}" %s "${1#*=}"
            ;;
        --spot) spot=yes ;;
        --dry_run) dry_run=yes ;;
        --delete) delete_only=yes ;;
        --)
            shift
            break
            ;;
        *) die "$1 is not one of its flags (they are at the top of launch/tpu_vm.sh; those of redalign follow --)" ;;
    esac
    shift
done

bucket=${bucket#gs://}
bucket=${bucket%/}
needed=(name zone)
[ -n "$delete_only" ] || needed+=(accelerator_type runtime_version bucket)
for flag in "${needed[@]}"; do
    [ -n "${!flag}" ] || die "--$flag=... is needed"
done
[[ $name =~ ^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$ ]] ||
    die "--name=$name: lower-case letters, digits and - only, a letter first"
[[ -z $bucket || $bucket =~ ^[a-z0-9][-_.a-z0-9]+$ ]] || die "--bucket=$bucket is not the name of a bucket"
[[ $poll =~ ^[0-9]+$ ]] || die "--poll=$poll is not a number of seconds"
[ -n "$delete_only" ] || [ $# -gt 0 ] || die "nothing to run: -- --config=FILE ... is missing"
for argument in "$@"; do
    case $argument in
        -workdir* | --workdir*) die "$argument: the workdir is the folder $name of the bucket" ;;
        --distributed* | --coordinator* | --process*) die "$argument: the hosts find each other by themselves" ;;
    esac
done
[ -n "$dry_run" ] || command -v gcloud >/dev/null || die "gcloud is not installed"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
git -C "$root" rev-parse --verify --quiet HEAD >/dev/null || die "$root is not a git checkout"

quoted() { # its arguments as one line of shell
    local line
    printf -v line ' %q' "$@"
    echo "${line:1}"
}

run() {
    if [ -n "$dry_run" ]; then
        quoted "$@" >&3
    else
        "$@"
    fi
}

resources() { # VERB ARGUMENT...
    run gcloud compute tpus queued-resources "$1" "${@:2}" --zone="$zone" --quiet
}

on_hosts() { # WORKER COMMAND ARGUMENT...: runs the command on one host or on all
    run gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker="$1" --quiet \
        --command="$(quoted "${@:2}")"
}

state() { # of the slice; empty where there is none
    local left=3
    until resources list --filter="name~/queuedResources/$name\$" --format='value(state.state)'; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || die "gcloud cannot say in which state $name is" 1
        sleep "$poll"
    done
}

create() {
    resources create "$name" --node-id="$name" --accelerator-type="$accelerator_type" \
        --runtime-version="$runtime_version" --scopes=https://www.googleapis.com/auth/cloud-platform \
        ${spot:+--spot}
}

delete() {
    say "deleting $name"
    resources delete "$name" --force
}

acquire() { # returns when the slice is there
    local found='' before='' asked=0
    while :; do
        before=$found
        found=$(state)
        [ -z "$dry_run" ] || [ "$asked" -eq 0 ] || found=ACTIVE
        case $found in
            ACTIVE) return ;;
            FAILED | SUSPENDED)
                say "$name is $found"
                delete
                ;;
            '')
                asked=$((asked + 1))
                [ "$asked" -le "$PATIENCE" ] || die "$name failed $PATIENCE times before it was there" 1
                say "asking for $accelerator_type in $zone"
                create
                ;;
            *)
                [ "$found" = "$before" ] || say "$name is $found"
                sleep "$poll"
                ;;
        esac
    done
}

prepare() { # copies, installs and mounts; leaves hosts alone on which the job runs
    run git -C "$root" archive --format=tar.gz --output="$parcel/redalign.tar.gz" HEAD &&
        run cp "$root/launch/tpu_worker.sh" "$parcel/tpu_worker.sh" &&
        run gcloud compute tpus tpu-vm scp "$parcel/redalign.tar.gz" "$parcel/tpu_worker.sh" "$name:" \
            --zone="$zone" --worker=all --quiet &&
        on_hosts all bash tpu_worker.sh setup "$bucket" "$MOUNT"
}

follow() { # starts the job unless it runs, shows what it prints, returns its status
    on_hosts all bash tpu_worker.sh run --distributed --workdir="$MOUNT/$name" "$@"
}

fetch() {
    run mkdir -p "runs/$name"
    run gcloud storage rsync --recursive --exclude='^checkpoints/.*' "gs://$bucket/$name" "runs/$name"
}

if [ -n "$delete_only" ]; then
    [ -n "$dry_run" ] || [ -n "$(state)" ] || die "there is no $name in $zone"
    delete
    exit
fi

[ -z "$(git -C "$root" status --porcelain --untracked-files=no)" ] ||
    say "changes that are not committed stay here"
parcel=$(mktemp -d)
trap 'rm -rf "$parcel"' EXIT
trap 'say "$name stays, and what runs on it: run this again to go on, or with --delete"; exit 130' INT TERM

lost=0
while :; do
    acquire
    status=255
    if prepare; then
        status=0
        follow "$@" || status=$?
    fi
    case $status in
        0) break ;;
        "$BAD_INPUT") end="ended $BAD_INPUT" ;;
        "$SAVED") end="ended $SAVED" ;;
        *) # the job, or the way to it: a slice that was taken away says so after a while
            sleep "$((2 * poll))"
            [ "$(state)" = ACTIVE ] || continue
            end=$(on_hosts 0 bash tpu_worker.sh state) || end=''
            ;;
    esac
    case $end in
        "ended $SAVED")
            say "the job has saved its state and goes on"
            lost=0
            ;;
        ended*)
            delete
            die "the job failed with status ${end#ended }; its workdir is gs://$bucket/$name" "${end#ended }"
            ;;
        *)
            lost=$((lost + 1))
            [ "$lost" -lt "$PATIENCE" ] ||
                die "$name is there but cannot be used; --delete deletes it" 1
            say "lost the hosts; trying again"
            ;;
    esac
done
fetch
delete
say "the results are in runs/$name"
