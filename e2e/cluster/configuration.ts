/** The files that the programs of the cluster read. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execute } from '../lib/execute.ts'
import { type ClusterLayout, DNS_ADDRESS } from './cluster-layout.ts'
import { BRIDGE } from './network.ts'

export const PAUSE_IMAGE = 'localhost/pause:1'

/** Who did what with which resource: answers which rights an installation uses. */
const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    { level: 'None', userGroups: ['system:serviceaccounts:kube-system'] },
    { level: 'Metadata', userGroups: ['system:serviceaccounts'] },
    { level: 'None' },
  ],
}

export async function writeConfiguration(layout: ClusterLayout): Promise<void> {
  const write = (file: string, text: string) => writeFileSync(join(layout.state, file), text)
  mkdirSync(join(layout.state, 'cni'), { recursive: true })
  write('audit-policy.json', JSON.stringify(AUDIT_POLICY, null, 2))
  write('cni/10-bridge.conflist', JSON.stringify(podNetwork(layout), null, 2))
  write('kubelet.json', JSON.stringify(kubelet(layout), null, 2))
  write('containerd.toml', await containerd(layout))
  write('Corefile', corefile(layout))
}

const podNetwork = (layout: ClusterLayout) => ({
  cniVersion: '1.0.0',
  name: 'pods',
  plugins: [
    {
      type: 'bridge',
      bridge: BRIDGE,
      isGateway: true,
      ipMasq: false,
      hairpinMode: true,
      ipam: {
        type: 'host-local',
        ranges: [[{ subnet: '10.244.0.0/24' }], [{ subnet: 'fd00:10:244::/64' }]],
        routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
        dataDir: join(layout.state, 'addresses'),
      },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
})

const kubelet = (layout: ClusterLayout) => ({
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  address: '0.0.0.0',
  authentication: {
    anonymous: { enabled: false },
    webhook: { enabled: false },
    x509: { clientCAFile: join(layout.state, 'certificates', 'ca.crt') },
  },
  authorization: { mode: 'AlwaysAllow' },
  // Without it `kubectl logs`, `exec` and `port-forward` fail: the API server checks it.
  tlsCertFile: join(layout.state, 'certificates', 'node.crt'),
  tlsPrivateKeyFile: join(layout.state, 'certificates', 'node.key'),
  containerRuntimeEndpoint: `unix://${join(layout.state, 'containerd.sock')}`,
  cgroupDriver: 'cgroupfs',
  cgroupRoot: `/${layout.name}`,
  failCgroupV1: false,
  failSwapOn: false,
  resolvConf: '',
  clusterDomain: 'cluster.local',
  clusterDNS: [DNS_ADDRESS],
  maxPods: 200,
  serializeImagePulls: false,
  imageGCHighThresholdPercent: 100,
  evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '0%', 'imagefs.available': '0%' },
  enforceNodeAllocatable: [],
})

/** Debian's defaults, with places of its own and without what an unprivileged root may not do. */
async function containerd(layout: ClusterLayout): Promise<string> {
  const changes: readonly (readonly [RegExp, string])[] = [
    [/^root = .*/m, `root = "${join(layout.state, 'containerd')}"`],
    [/^state = .*/m, `state = "${join(layout.state, 'containerd-state')}"`],
    [/\/run\/containerd\/containerd\.sock/g, join(layout.state, 'containerd.sock')],
    [/sandbox_image = .*/, `sandbox_image = "${PAUSE_IMAGE}"`],
    [/bin_dir = "\/opt\/cni\/bin"/, 'bin_dir = "/usr/lib/cni"'],
    [/conf_dir = "\/etc\/cni\/net\.d"/, `conf_dir = "${join(layout.state, 'cni')}"`],
    [/disable_apparmor = false/, 'disable_apparmor = true'],
    // Without CAP_SYS_RESOURCE: "can't get final child's PID from pipe: EOF" otherwise.
    [/restrict_oom_score_adj = false/, 'restrict_oom_score_adj = true'],
    // So that everything mounted lies below the state folder.
    [/netns_mounts_under_state_dir = false/, 'netns_mounts_under_state_dir = true'],
  ]
  let text = await execute('containerd', ['config', 'default'])
  for (const [pattern, replacement] of changes) {
    const changed = text.replace(pattern, replacement)
    if (changed === text) throw new Error(`this containerd has no setting like ${pattern}`)
    text = changed
  }
  return text
}

const corefile = (layout: ClusterLayout) => `.:53 {
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig ${join(layout.state, 'dns.kubeconfig')} e2e
    ttl 5
  }
}
`
