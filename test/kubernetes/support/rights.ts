/** Rights that the tests' users get on a real API server. */
import type { Admin } from './admin.ts';
import type { User } from './api-server.ts';

/** Lets a user list and watch one ConfigMap of a namespace, and nothing else. */
export async function allowConfigMap(
  admin: Admin,
  namespace: string,
  name: string,
  user: User,
): Promise<void> {
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
  const rule = {
    apiGroups: [''],
    resources: ['configmaps'],
    resourceNames: [name],
    verbs: ['list', 'watch'],
  };
  await admin.create(`${rbac}/roles`, { metadata: { name: 'config' }, rules: [rule] });
  await admin.create(`${rbac}/rolebindings`, {
    metadata: { name: 'config' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'config' },
    subjects: [{ kind: 'User', name: user, apiGroup: 'rbac.authorization.k8s.io' }],
  });
}
