package embedded

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// adminGroup is the group that Kubernetes' RBAC bootstrap gives every right.
const adminGroup = "system:masters"

// credentials are those of one data directory. The certificate authority and the service-account key live as long as
// the directory; what they sign is made afresh at every start.
type credentials struct {
	caFile                     string // certificate of the authority for servers and clients
	serverCert, serverKey      string // files of the API server's certificate for loopback names
	serviceAccountKey          string // file of the key that signs service-account tokens
	caPEM, adminCert, adminKey []byte // PEM for the kubeconfig
}

// ensureCredentials reads the credentials in dir, making what is missing. All files have mode 0600.
func ensureCredentials(dir string) (*credentials, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c := &credentials{
		caFile:            filepath.Join(dir, "ca.crt"),
		serverCert:        filepath.Join(dir, "apiserver.crt"),
		serverKey:         filepath.Join(dir, "apiserver.key"),
		serviceAccountKey: filepath.Join(dir, "service-account.key"),
	}
	if _, err := ensureKey(c.serviceAccountKey); err != nil {
		return nil, err
	}
	caKey, err := ensureKey(filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, err
	}
	ca, err := ensureAuthority(c.caFile, caKey)
	if err != nil {
		return nil, err
	}
	c.caPEM = encodeCert(ca)
	server, serverKey, err := issue(ca, caKey, x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return nil, err
	}
	c.adminCert, c.adminKey, err = issue(ca, caKey, x509.Certificate{
		Subject:     pkix.Name{CommonName: "admin", Organization: []string{adminGroup}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	return c, errors.Join(writeFile(c.serverCert, server), writeFile(c.serverKey, serverKey))
}

// writeFile writes data to file, which has mode 0600 and is never seen half written, whenever the process ends: half a key
// would keep the directory from ever starting again.
func writeFile(file string, data []byte) error {
	half := file + ".new"
	if err := os.Remove(half); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(half, data, 0o600); err != nil {
		return err
	}
	return os.Rename(half, file)
}

// ensureKey reads the private key in file, or makes one.
func ensureKey(file string) (crypto.Signer, error) {
	pem, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		if pem, err = keyutil.MakeEllipticPrivateKeyPEM(); err == nil {
			err = writeFile(file, pem)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", file, err)
	}
	key, err := keyutil.ParsePrivateKeyPEM(pem)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", file, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key %s: of type %T, cannot sign", file, key)
	}
	return signer, nil
}

// ensureAuthority reads the authority's certificate in file, or makes one for key.
func ensureAuthority(file string, key crypto.Signer) (*x509.Certificate, error) {
	certs, err := cert.CertsFromFile(file)
	if err == nil {
		return certs[0], nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ca, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "kyma-console"}, key)
	if err != nil {
		return nil, err
	}
	return ca, writeFile(file, encodeCert(ca))
}

// issue signs a certificate for a new key and returns both as PEM. It is valid for a year: a new one is issued at
// every start.
func issue(ca *x509.Certificate, caKey crypto.Signer, template x509.Certificate) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, err
	}
	template.NotBefore = time.Now().Add(-time.Minute)
	template.NotAfter = time.Now().AddDate(1, 0, 0)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, &template, ca, key.Public(), caKey)
	if err != nil {
		return nil, nil, err
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err = keyutil.MarshalPrivateKeyToPEM(key)
	return encodeCert(signed), keyPEM, err
}

// encodeCert is the PEM form of c.
func encodeCert(c *x509.Certificate) []byte {
	// Encoding fails only for a writer that fails; the library's writes to memory.
	pem, _ := cert.EncodeCertificates(c)
	return pem
}

// writeKubeconfig writes the file that makes kubectl the user "admin" of the server at address ("127.0.0.1:6443").
func writeKubeconfig(file, address string, c *credentials) error {
	const name = "kyma-console"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: "https://" + address, CertificateAuthorityData: c.caPEM}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{ClientCertificateData: c.adminCert, ClientKeyData: c.adminKey}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: "admin"}
	config.CurrentContext = name
	data, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	return writeFile(file, data)
}

// lastAddress is the address in the kubeconfig of the last start, "" when there is none: keeping it across restarts
// keeps copies of the kubeconfig valid.
func lastAddress(kubeconfig string) string {
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		return ""
	}
	for _, cluster := range config.Clusters {
		if len(cluster.Server) > len("https://") {
			return cluster.Server[len("https://"):]
		}
	}
	return ""
}
