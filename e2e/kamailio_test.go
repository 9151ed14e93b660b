//go:build e2e && linux

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/secp2psip/secp2psip/e2e/internal/lab"
)

// kamailioConfig is a registrar that proxies on port 5060 and redirects on port 5070.
const kamailioConfig = `#!KAMAILIO
debug=1
log_stderror=yes
children=1
disable_tcp=yes
dns=no
rev_dns=no
listen=udp:%[1]s:5060
listen=udp:%[1]s:5070
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
modparam("usrloc","db_mode",0)
modparam("registrar","gruu_enabled",0)
modparam("registrar","append_branches",0)
request_route {
 if(!mf_process_maxfwd_header("10")){sl_send_reply("483","Too Many Hops");exit;}
 if(has_totag()){ if(loose_route()) t_relay(); exit; }
 if(is_method("ACK")) exit;
 if(is_method("REGISTER")){ if(!save("location")) sl_reply_error(); exit; }
 if(is_method("INVITE|MESSAGE|CANCEL")){
  if(!lookup("location")){sl_send_reply("404","Not Found");exit;}
  if($Rp==5070){sl_send_reply("302","Moved Temporarily");exit;}
  record_route();
  t_relay(); exit; }
 sl_send_reply("405","Method Not Allowed"); }
`

// startKamailio runs the registrar on a host.
func startKamailio(t *testing.T, h *lab.Host) netip.Addr {
	t.Helper()
	lab.Require(t, "kamailio")
	config := filepath.Join(h.Dir, "kamailio.cfg")
	if err := os.WriteFile(config, fmt.Appendf(nil, kamailioConfig, h.Addr), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := h.Start("kamailio", nil, "kamailio", "-DD", "-E", "-f", config, "-w", h.Dir, "-Y", h.Dir, "-P", filepath.Join(h.Dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Log.Wait(within(t, starting), 0, regexp.MustCompile(`udp: .*5070`)); err != nil {
		t.Fatal(err)
	}
	return h.Addr
}
