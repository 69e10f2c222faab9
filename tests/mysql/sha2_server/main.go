// A server that logs in like MySQL 8, for tests: caching_sha2_password, fast and full, over TLS, a unix socket or
// with RSA, before the in-memory SQL engine of go-mysql-server.
//
//	sha2_server -address 127.0.0.1:3306 -socket FILE -users root:,app:secret,old:secret:native -cert FILE -key FILE
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync"

	gms "github.com/dolthub/go-mysql-server"
	"github.com/dolthub/go-mysql-server/memory"
	"github.com/dolthub/go-mysql-server/server"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/mysql"
)

const (
	version   = "8.0.31" // what the library's version() says too
	maxPacket = 1024     // of a login: an RSA block and less
)

type account struct {
	password string
	native   bool
}

// logins checks passwords. What a full login of caching_sha2_password brought is remembered for fast ones.
type logins struct {
	accounts map[string]account
	key      *rsa.PrivateKey
	mutex    sync.Mutex
	cached   map[string]bool
}

func (l *logins) DefaultAuthMethodDescription() mysql.AuthMethodDescription {
	return mysql.CachingSha2Password
}

func (l *logins) AuthMethods() []mysql.AuthMethod {
	return []mysql.AuthMethod{
		&sha2{mysql.NewSha2CachingAuthMethod(l, l, l), l},
		mysql.NewMysqlNativeAuthMethod(l, native{l}),
	}
}

func (l *logins) HandleUser(user string, _ net.Addr) bool { return !l.accounts[user].native }

type native struct{ *logins }

func (n native) HandleUser(user string, _ net.Addr) bool { return n.accounts[user].native }

func denied(user string) error {
	return mysql.NewSQLError(mysql.ERAccessDeniedError, mysql.SSAccessDeniedError, "Access denied for user '%v'", user)
}

func (l *logins) UserEntryWithHash(
	_ []*x509.Certificate, salt []byte, user string, reply []byte, from net.Addr,
) (mysql.Getter, error) {
	account := l.accounts[user]
	if account.native && string(mysql.ScrambleMysqlNativePassword(salt, []byte(account.password))) == string(reply) {
		return sql.MysqlConnectionUser{User: user, Host: from.String()}, nil
	}
	return nil, denied(user)
}

func (l *logins) UserEntryWithCacheHash(
	_ []*x509.Certificate, salt []byte, user string, reply []byte, from net.Addr,
) (mysql.Getter, mysql.CacheState, error) {
	account, known := l.accounts[user]
	caller := sql.MysqlConnectionUser{User: user, Host: from.String()}
	if len(reply) == 0 || string(reply) == "\x00" { // either means: no password
		if known && account.password == "" {
			return caller, mysql.AuthAccepted, nil
		}
		return nil, mysql.AuthRejected, denied(user)
	}
	l.mutex.Lock()
	cached := l.cached[user]
	l.mutex.Unlock()
	once := sha256.Sum256([]byte(account.password))
	twice := sha256.Sum256(once[:])
	if cached && len(reply) == sha256.Size && mysql.VerifyHashedCachingSha2Password(reply, salt, twice[:]) {
		return caller, mysql.AuthAccepted, nil
	}
	return nil, mysql.AuthNeedMoreData, nil
}

func (l *logins) UserEntryWithPassword(
	_ []*x509.Certificate, user string, password string, from net.Addr,
) (mysql.Getter, error) {
	if account, known := l.accounts[user]; !known || account.native || account.password != password {
		return nil, denied(user)
	}
	l.mutex.Lock()
	l.cached[user] = true
	l.mutex.Unlock()
	return sql.MysqlConnectionUser{User: user, Host: from.String()}, nil
}

// sha2 is the library's method, which takes full logins over TLS only, and what it lacks: unix sockets and RSA.
type sha2 struct {
	mysql.AuthMethod
	logins *logins
}

func (s *sha2) HandleUser(conn *mysql.Conn, user string) bool {
	return s.logins.HandleUser(user, conn.RemoteAddr())
}

func (s *sha2) HandleAuthPluginData(
	conn *mysql.Conn, user string, salt []byte, reply []byte, from net.Addr,
) (mysql.Getter, error) {
	raw, plain := conn.Conn.(*plainConn)
	if plain {
		_, state, _ := s.logins.UserEntryWithCacheHash(nil, salt[:len(salt)-1], user, reply, from)
		if state == mysql.AuthNeedMoreData {
			password, err := s.ask(raw, salt)
			if err != nil {
				return nil, err
			}
			return s.logins.UserEntryWithPassword(nil, user, password, from)
		}
	}
	return s.AuthMethod.HandleAuthPluginData(conn, user, salt, reply, from)
}

// ask for the password: in the clear over a unix socket, encrypted with the server's public key otherwise.
func (s *sha2) ask(raw *plainConn, salt []byte) (string, error) {
	if err := raw.say(mysql.AuthMoreDataPacket, mysql.CachingSha2FullAuth); err != nil {
		return "", err
	}
	answer, err := raw.hear()
	if err != nil {
		return "", err
	}
	if raw.RemoteAddr().Network() == "unix" {
		return strings.TrimSuffix(string(answer), "\x00"), nil
	}
	if len(answer) == 1 && answer[0] == 2 { // it asks for the public key
		der, err := x509.MarshalPKIXPublicKey(&s.logins.key.PublicKey)
		if err != nil {
			return "", err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		if err := raw.say(append([]byte{mysql.AuthMoreDataPacket}, text...)...); err != nil {
			return "", err
		}
		if answer, err = raw.hear(); err != nil {
			return "", err
		}
	}
	clear, err := rsa.DecryptOAEP(sha1.New(), rand.Reader, s.logins.key, answer, nil)
	if err != nil {
		return "", err
	}
	for i := range clear {
		clear[i] ^= salt[i%(len(salt)-1)]
	}
	return strings.TrimSuffix(string(clear), "\x00"), nil
}

// plainConn is a connection without TLS. During a login it numbers the packets that the library does not know of, and
// puts the right number into the one that ends it.
type plainConn struct {
	net.Conn
	next  byte // the number of the next packet from here
	ahead bool // of the library's own number
}

func (c *plainConn) Write(data []byte) (int, error) {
	if len(data) == 4 && c.ahead { // the library writes headers by themselves
		data, c.ahead = append(append([]byte{}, data[:3]...), c.next), false
	} else if len(data) == 4 {
		c.next = data[3] + 2 // the client answers in between
	}
	return c.Conn.Write(data)
}

func (c *plainConn) say(payload ...byte) error {
	n := len(payload)
	_, err := c.Conn.Write(append([]byte{byte(n), byte(n >> 8), 0, c.next}, payload...))
	return err
}

func (c *plainConn) hear() ([]byte, error) {
	header := make([]byte, 4)
	if _, err := io.ReadFull(c.Conn, header); err != nil {
		return nil, err
	}
	n := int(header[0]) | int(header[1])<<8 | int(header[2])<<16
	if n > maxPacket {
		return nil, errors.New("a long packet in a login")
	}
	payload := make([]byte, n)
	_, err := io.ReadFull(c.Conn, payload)
	c.next, c.ahead = header[3]+1, true
	return payload, err
}

// handler says in the greeting and at the end of a login, as MySQL does, that autocommit is on.
type handler struct{ mysql.Handler }

func (h handler) NewConnection(conn *mysql.Conn) {
	conn.StatusFlags |= uint16(mysql.ServerStatusAutocommit)
	h.Handler.NewConnection(conn)
}

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &plainConn{Conn: conn}, err
}

func main() {
	address := flag.String("address", "127.0.0.1:3306", "where to listen")
	socket := flag.String("socket", "", "unix socket")
	users := flag.String("users", "root:", "name:password or name:password:native, separated by commas")
	certificate := flag.String("cert", "", "PEM file: serve TLS to who asks for it")
	key := flag.String("key", "", "PEM file")
	limit := flag.Uint64("max-connections", 0, "0: no limit")
	flag.Parse()
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}

	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	check(err)
	logins := &logins{accounts: map[string]account{}, key: rsaKey, cached: map[string]bool{}}
	for _, user := range strings.Split(*users, ",") {
		parts := strings.Split(user+":", ":")
		logins.accounts[parts[0]] = account{parts[1], parts[2] == "native"}
	}
	config := server.Config{Address: *address, Version: version, MaxConnections: *limit}
	if *certificate != "" {
		pair, err := tls.LoadX509KeyPair(*certificate, *key)
		check(err)
		config.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	if *socket != "" {
		os.Remove(*socket) // of a run that was killed
	}
	listening, err := server.NewListener("tcp", *address, *socket)
	check(err)
	config.Listener = listener{listening}
	config.ProtocolListenerFactory = func(
		config server.Config, inner mysql.ListenerConfig, events server.ServerEventListener,
	) (server.ProtocolListener, error) {
		inner.AuthServer = logins
		return server.MySQLProtocolListenerFactory(config, inner, events)
	}
	databases := memory.NewDBProvider(memory.NewDatabase("test"))
	engine, sessions := gms.NewDefault(databases), memory.NewSessionBuilder(databases)
	greeting := func(inner mysql.Handler) (mysql.Handler, error) { return handler{inner}, nil }
	ready, err := server.NewServerWithHandler(config, engine, sql.NewContext, sessions, nil, greeting)
	check(err)
	check(ready.Start())
}
