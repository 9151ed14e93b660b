#!/bin/sh
# Measures the SIP front alone (parse, validate, 302 from a directory that
# answers at once) beside Kamailio, in one run on one core, with SIPp on the
# other. Prints CPU time per call (user + system, from /proc/PID/stat), the
# ratio, and the memory after all calls. Needs sipp, kamailio, taskset, Go.
#
#   CALLS=40000 RATE=4000 ROUNDS=3 scripts/bench-front.sh
set -eu
cd "$(dirname "$0")/.."
CALLS=${CALLS:-40000}   # calls in one measurement
RATE=${RATE:-4000}      # calls per second
ROUNDS=${ROUNDS:-3}     # measurements of each, taken in turn
SERVER_CORE=${SERVER_CORE:-0}
CLIENT_CORE=${CLIENT_CORE:-1}
PEERS=sipbridge/testdata/peers
KAMAILIO_PORT=5070
FRONT_PORT=5080
for tool in sipp kamailio taskset go; do
	command -v "$tool" >/dev/null || { echo "bench-front: $tool is not installed" >&2; exit 2; }
done
DIR=$(mktemp -d)
pids=
stop() { [ -z "$pids" ] || kill $pids 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$DIR"; }
trap stop EXIT
trap 'exit 130' INT TERM

go build -o "$DIR/frontbench" ./sipbridge/frontbench
taskset -c "$SERVER_CORE" "$DIR/frontbench" -listen "udp:127.0.0.1:$FRONT_PORT" ${FRONT_FLAGS:-} >"$DIR/front.log" 2>&1 &
FRONT=$!
pids=$FRONT
taskset -c "$SERVER_CORE" kamailio -DD -E -Y "$DIR" -P "$DIR/kamailio.pid" -f "$PEERS/kamailio-redirect.cfg" >"$DIR/kamailio.log" 2>&1 &
KAMAILIO=$!
pids="$pids $KAMAILIO"

register() { # port: bob's phone registers, once the server answers
	tries=0
	until timeout 10 sipp "127.0.0.1:$1" -sf "$PEERS/regbob.xml" -m 1 -i 127.0.0.1 -p 15990 -mp 15900 -cp 15950 >"$DIR/reg.log" 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 10 ] || { echo "bench-front: no registration at port $1" >&2; cat "$DIR"/*.log >&2; exit 1; }
	done
}

ticks() { # pid: CPU time of a process and its children, in clock ticks
	for p in "$1" $(pgrep -P "$1" || true); do
		sed 's/.*) //' "/proc/$p/stat" | cut -d' ' -f12,13
	done | awk '{ n += $1 + $2 } END { print n }'
}

rss() { # pid: resident memory of a process and its children, in KiB
	for p in "$1" $(pgrep -P "$1" || true); do
		grep VmRSS "/proc/$p/status"
	done | awk '{ n += $2 } END { print n }'
}

measure() { # pid port: prints µs per call
	before=$(ticks "$1")
	taskset -c "$CLIENT_CORE" sipp "127.0.0.1:$2" -sf "$PEERS/uac302.xml" -s bob -m "$CALLS" -r "$RATE" -l 20000 \
		-i 127.0.0.1 -p 15991 -mp 15910 -cp 15951 -nostdin -timeout 120 >"$DIR/sipp.log" 2>&1 ||
		{ echo "bench-front: port $2:" >&2; grep -aE "INVITE --|<---|Failed call" "$DIR/sipp.log" | tail -5 >&2; }
	after=$(ticks "$1")
	awk -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n="$CALLS" 'BEGIN { printf "%.2f", t / hz * 1e6 / n }'
}

median() { tr ' ' '\n' | sed '/^$/d' | sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR+1)/2] : (v[NR/2] + v[NR/2+1]) / 2 }'; }

register $FRONT_PORT
register $KAMAILIO_PORT
fronts=
kamailios=
round=1
while [ $round -le "$ROUNDS" ]; do
	f=$(measure $FRONT $FRONT_PORT)
	k=$(measure $KAMAILIO $KAMAILIO_PORT)
	echo "round $round: front $f µs, kamailio $k µs of CPU per call"
	fronts="$fronts $f"
	kamailios="$kamailios $k"
	round=$((round + 1))
done
f=$(echo "$fronts" | median)
k=$(echo "$kamailios" | median)
echo "rate $RATE/s, $CALLS calls a round, medians of $ROUNDS rounds"
echo "front     $f µs of CPU per INVITE→302"
echo "kamailio  $k µs of CPU per INVITE→302"
awk -v f="$f" -v k="$k" 'BEGIN { printf "ratio     %.2f\n", f / k }'
echo "front RSS after $((CALLS * ROUNDS)) INVITEs: $(rss $FRONT) KiB"
