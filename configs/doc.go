// Package configs is the configuration of the two daemons: its types, its
// defaults, its rules, and where values come from. A flag wins over an
// environment variable, that over the TOML file, that over the default.
//
// Every setting has one key, such as sip.redirect, and by one rule
//
//	sip.redirect            in the file: redirect = … under [sip]
//	SECP2PSIP_SIP_REDIRECT  in the environment; lists with commas
//	--sip-redirect          as a flag; lists with commas or by repeating it
//
// Only a list of tables (sip.accounts) can be given nowhere but in the file.
//
// A mistake is a Problem: it names the place (file, line and column, variable
// or flag), the key, what is wrong, and the mend. Load reports all problems
// of a kind at once.
package configs

import "embed"

//go:embed bootstrap.toml adapter.toml
var samples embed.FS

// Sample returns the commented sample file of a kind, KindBootstrap or
// KindAdapter; it sets every key to its default.
func Sample(kind string) ([]byte, error) { return samples.ReadFile(kind + ".toml") }

// The kinds of configuration.
const (
	KindBootstrap = "bootstrap"
	KindAdapter   = "adapter"
)
