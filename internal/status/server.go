package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Limits of the server. A slow or dead reader holds nothing but its connection.
const (
	headerTimeout = 2 * time.Second
	answerTimeout = 5 * time.Second
	headerMax     = 8 << 10
	answerMax     = 256 << 20 // 40,000 real servers with their histories
	socketMode    = 0o660
	directoryMode = 0o755
)

// Server answers on a node's Unix socket.
type Server struct {
	listener net.Listener
	server   *http.Server
}

// Paths of what is asked for.
const (
	clusterPath = "/v1/status"
	serversPath = "/v1/servers"
)

// Listen makes the socket at path, in the place of one that nobody serves any
// more. report gives the cluster's status.
func Listen(path string, report func(context.Context) (*Cluster, error)) (*Server, error) {
	return listen(path, clusterPath, report)
}

// ListenServers is [Listen] for a checker, on a socket of its own, so that a hung
// controller does not hide the servers, nor the other way round.
func ListenServers(path string, report func(context.Context) (*Servers, error)) (*Server, error) {
	return listen(path, serversPath, report)
}

// ServersSocket is the checker's socket, in its own directory beside a node's status
// socket.
func ServersSocket(socket string) string {
	return filepath.Join(filepath.Dir(socket), "checker", "servers.sock")
}

func listen[T any](path, route string, report func(context.Context) (T, error)) (*Server, error) {
	if err := os.MkdirAll(filepath.Dir(path), directoryMode); err != nil {
		return nil, fmt.Errorf("make the status socket's directory: %w", err)
	}
	if conn, err := net.DialTimeout("unix", path, headerTimeout); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("listen on %s: another hafence answers there; give each its own with \"status { socket PATH }\"", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the old status socket: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for status: %w", err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the status socket: %w", err), listener.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+route, func(w http.ResponseWriter, r *http.Request) { answer(w, r, report) })
	return &Server{listener: listener, server: &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: answerTimeout, MaxHeaderBytes: headerMax,
	}}, nil
}

func answer[T any](w http.ResponseWriter, r *http.Request, report func(context.Context) (T, error)) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	told, err := report(ctx)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(told) // a reader that went away needs no answer
}

// Run serves until ctx ends, then removes the socket.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.server.Close() })
	defer stop()
	err := s.server.Serve(s.listener)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve status: %w", err)
}

// ErrNotRunning is returned by [Fetch] when nobody serves the socket.
var ErrNotRunning = errors.New("no hafence answers there")

// Fetch asks the node that serves the socket at path for the cluster's status.
func Fetch(ctx context.Context, path string) (*Cluster, error) {
	return fetch[Cluster](ctx, path, clusterPath)
}

// FetchServers asks the checker that serves the socket at path for its virtual
// servers.
func FetchServers(ctx context.Context, path string) (*Servers, error) {
	return fetch[Servers](ctx, path, serversPath)
}

func fetch[T any](ctx context.Context, path, route string) (*T, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://hafence"+route, nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return nil, fmt.Errorf("ask %s: %w: %w", path, ErrNotRunning, dial.Err)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask %s: %s", path, response.Status)
	}
	var told T
	if err := json.NewDecoder(http.MaxBytesReader(nil, response.Body, answerMax)).Decode(&told); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return &told, nil
}
