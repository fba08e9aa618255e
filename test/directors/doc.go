// Package directors holds the tests of whole directors: clients, IPVS, real servers,
// and what becomes of connections when the MASTER goes. They run inside kernels of the
// kernel lab, for they need IPVS; the network is that of the demo.
//
// The promises are judged by a client that connects all the time, and by what the real
// servers see. Nothing here is exported.
package directors
