// Package e2e tests the program as people use it: the real binary on the hosts of a small LAN, real softphones beside it.
//
// The tests carry the build tag e2e and run with `make e2e`. They need the Debian packages that
// scripts/install-test-deps.sh installs; where one is missing they fail, they never skip.
package e2e
