/** HTTP/1.1, HTTP/2 and gRPC (which is HTTP/2), each in clear and over TLS. */
export type UpstreamProtocol = 'HTTP' | 'HTTPS' | 'H2C' | 'H2' | 'GRPC' | 'GRPCS'
