/** The command lines of the programs that make up the cluster. */
import { join } from 'node:path'
import { type ClusterLayout, NODE_ADDRESS, NODE_ADDRESS_6, NODE_NAME } from './cluster-layout.ts'

export type Component = 'etcd' | 'apiserver' | 'controllers' | 'scheduler' | 'containerd' | 'kubelet' | 'proxy' | 'dns'

const ETCD = 'http://127.0.0.1:2379'

export function commandOf(layout: ClusterLayout, programs: string, component: Component): string[] {
  const program = (name: string) => join(programs, 'bin', name)
  const inState = (...path: string[]) => join(layout.state, ...path)
  const certificate = (file: string) => inState('certificates', file)
  const kubeconfig = (name: string) => inState(`${name}.kubeconfig`)
  switch (component) {
    case 'etcd':
      return [
        program('etcd'),
        `--data-dir=${inState('etcd')}`,
        `--listen-client-urls=${ETCD}`,
        `--advertise-client-urls=${ETCD}`,
        '--listen-peer-urls=http://127.0.0.1:2380',
        '--unsafe-no-fsync',
        '--log-level=warn',
      ]
    case 'apiserver':
      return [
        program('kube-apiserver'),
        `--etcd-servers=${ETCD}`,
        '--bind-address=0.0.0.0',
        // Not loopback: pods are sent here by the Service `kubernetes`.
        `--advertise-address=${NODE_ADDRESS}`,
        '--endpoint-reconciler-type=lease',
        `--tls-cert-file=${certificate('apiserver.crt')}`,
        `--tls-private-key-file=${certificate('apiserver.key')}`,
        `--client-ca-file=${certificate('ca.crt')}`,
        `--service-account-key-file=${certificate('service-accounts.pub')}`,
        `--service-account-signing-key-file=${certificate('service-accounts.key')}`,
        '--service-account-issuer=https://kubernetes.default.svc',
        '--authorization-mode=Node,RBAC',
        '--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112',
        '--service-node-port-range=1024-32767',
        '--allow-privileged=true',
        `--kubelet-client-certificate=${certificate('admin.crt')}`,
        `--kubelet-client-key=${certificate('admin.key')}`,
        `--kubelet-certificate-authority=${certificate('ca.crt')}`,
        '--kubelet-preferred-address-types=InternalIP',
        `--audit-policy-file=${inState('audit-policy.json')}`,
        `--audit-log-path=${inState('logs', 'audit.jsonl')}`,
        '--audit-log-maxsize=500',
        // It would compact every five minutes by itself; here a test says when.
        '--etcd-compaction-interval=0',
      ]
    case 'controllers':
      return [
        program('kube-controller-manager'),
        ...delegated(kubeconfig('controllers')),
        `--service-account-private-key-file=${certificate('service-accounts.key')}`,
        `--root-ca-file=${certificate('ca.crt')}`,
        '--use-service-account-credentials',
        '--cluster-cidr=10.244.0.0/16,fd00:10:244::/56',
        '--allocate-node-cidrs=false',
      ]
    case 'scheduler':
      return [program('kube-scheduler'), ...delegated(kubeconfig('scheduler'))]
    case 'containerd':
      return ['containerd', `--config=${inState('containerd.toml')}`, '--log-level=warn']
    case 'kubelet':
      return [
        program('kubelet'),
        `--config=${inState('kubelet.json')}`,
        `--kubeconfig=${kubeconfig('node')}`,
        `--hostname-override=${NODE_NAME}`,
        `--node-ip=${NODE_ADDRESS},${NODE_ADDRESS_6}`,
        `--root-dir=${inState('kubelet')}`,
      ]
    case 'proxy':
      return [
        program('kube-proxy'),
        `--kubeconfig=${kubeconfig('proxy')}`,
        `--hostname-override=${NODE_NAME}`,
        '--cluster-cidr=10.244.0.0/16,fd00:10:244::/56',
        '--proxy-mode=iptables',
        '--conntrack-max-per-core=0',
      ]
    case 'dns':
      return [program('coredns'), `-conf=${inState('Corefile')}`]
  }
}

const delegated = (kubeconfig: string) => [
  `--kubeconfig=${kubeconfig}`,
  `--authentication-kubeconfig=${kubeconfig}`,
  `--authorization-kubeconfig=${kubeconfig}`,
  '--leader-elect=false',
  '--bind-address=127.0.0.1',
]
