// Package sipbridge speaks SIP with the phones.
package sipbridge
