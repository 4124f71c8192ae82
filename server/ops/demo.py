"""The sample registry of the product description: a churn model from 1.0.0 to 2.1.0, and a forecast model of another
family.

Everything is written through the same mutations that clients use, each step by the person who would do it.
"""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.callers import Caller
from resolvers.cards import update_model_card
from resolvers.datasets import create_dataset, create_dataset_version
from resolvers.experiments import complete_experiment, create_experiment
from resolvers.models import create_model
from resolvers.principals import known_principal, set_member
from resolvers.projects import create_project
from resolvers.rules.access import Need
from resolvers.rules.semver import parse
from resolvers.transaction import Transaction
from resolvers.transition_requests import request_transition
from resolvers.transitions import transition_stage
from server.ops.bootstrap import ADMIN
from server.settings import Settings
from storage.engine import short_engine
from storage.first_start import has_projects
from storage.vocabulary import DatasetRole, ExperimentStatus, PrincipalKind, Role, Stage

PROJECT, CHURN, DEMAND = "proj_abc123", "model_xgb_churn", "model_nn_demand"
PIPELINE, MARIA, JAMES = "retraining@company.com", "maria.chen@company.com", "james.wu@company.com"
KINDS = {PIPELINE: PrincipalKind.SERVICE}
ROLES = {MARIA: Role.REVIEWER, JAMES: Role.REVIEWER, PIPELINE: Role.CONTRIBUTOR}

BASE = [
    "tenure_months", "monthly_charges", "total_charges", "contract_type", "payment_method", "support_tickets_90d",
    "late_payments_12m", "plan_changes_12m", "discount_share", "seats", "region", "signup_channel",
]  # fmt: skip
USAGE = ["logins_30d", "active_days_30d", "feature_adoption"]
BEHAVIOUR = ["session_trend_90d", "support_sentiment", "days_since_last_export"]
SETTINGS = {"algorithm": "xgboost", "max_depth": 6, "learning_rate": 0.1, "nfolds": 5, "stopping_metric": "AUC"}
SEGMENTS = {"enterprise": 12_400, "professional": 85_300, "starter": 149_800}


def metrics(*values: float) -> dict[str, float]:
    return dict(zip(("auc", "accuracy", "precision", "recall", "f1", "log_loss"), values, strict=True))


async def fill(settings: Settings) -> bool:
    """Fill an empty registry in one transaction. Returns False and does nothing if there are projects already."""
    async with short_engine(settings.database_url) as engine, AsyncSession(engine) as session, session.begin():
        if await has_projects(session):
            return False
        await _Sample(session).write()
    return True


class _Sample:
    def __init__(self, session: AsyncSession):
        self.session = session
        self.ids: dict[str, str] = {}

    async def write(self) -> None:
        await self.people()
        await self.data()
        await self.churn()
        await self.demand()
        await self.candidate()

    async def do(self, actor: str, write: Any, **values: Any) -> None:
        await write(self.transaction(actor), **values)

    def transaction(self, actor: str) -> Transaction:
        kind = KINDS.get(actor, PrincipalKind.USER)
        return Transaction(self.session, Caller(actor, None, "demo", self.ids.get(actor), kind), Need.INSTANCE)

    async def people(self) -> None:
        for email in (ADMIN, *ROLES):
            kind = KINDS.get(email, PrincipalKind.USER)
            self.ids[email] = (await known_principal(self.transaction(ADMIN), email, kind)).id
        await self.do(ADMIN, create_project, id=PROJECT, name="Customer retention", description="Who leaves, and why.")
        for email, role in ROLES.items():
            await self.do(ADMIN, set_member, project_id=PROJECT, email=email, role=role)

    async def data(self) -> None:
        subscriptions = {"id": "ds_subscriptions", "project_id": PROJECT, "name": "Subscriptions"}
        await self.do(PIPELINE, create_dataset, **subscriptions, description="Production subscription database.")
        for quarter, rows, features in (
            ("Q2 2025", 201_300, BASE),
            ("Q3 2025", 224_100, BASE + USAGE),
            ("Q4 2025", 247_500, BASE + USAGE + BEHAVIOUR),
        ):
            id_ = f"dsv_{quarter.lower().replace(' ', '_')}"
            where = f"s3://warehouse/subscriptions/{id_}.parquet"
            await self.data_version("ds_subscriptions", id_, quarter, rows, uri=where, features=features)
        await self.do(PIPELINE, create_dataset, id="ds_segments", project_id=PROJECT, name="Subscription segments")
        for segment, rows in SEGMENTS.items():
            id_ = f"dsv_q4_2025_{segment}"
            await self.data_version("ds_segments", id_, f"Q4 2025 {segment}", rows, parent_ids=["dsv_q4_2025"])
        await self.do(PIPELINE, create_dataset, id="ds_orders", project_id=PROJECT, name="Orders")
        await self.data_version(
            "ds_orders", "dsv_orders_2025", "2025", 1_830_000, features=["week", "product", "region"]
        )

    async def data_version(self, dataset_id: str, id_: str, label: str, rows: int, **more: Any) -> None:
        known = {"id": id_, "dataset_id": dataset_id, "label": label, "row_count": rows}
        await self.do(PIPELINE, create_dataset_version, **known, **more)

    async def experiment(
        self, id_: str, name: str, data: str, seconds: float, *versions: dict[str, Any], **more: Any
    ) -> None:
        """An experiment, and the versions that it produced."""
        status = more.pop("status", ExperimentStatus.COMPLETED)
        notes = more.pop("notes", None)
        started = {"id": id_, "project_id": PROJECT, "name": name, "dataset_version_id": data}
        await self.do(PIPELINE, create_experiment, **started, **more)
        ended = {"experiment_id": id_, "status": status, "training_duration_secs": seconds, "notes": notes}
        news = [{"project_id": PROJECT, "dataset_version_id": data, **version} for version in versions]
        await self.do(PIPELINE, complete_experiment, **ended, versions=news)

    async def step(self, actor: str, number: str, target: Stage, notes: str, model: str = CHURN) -> None:
        which = {"model_id": model, "version": parse(number)}
        await self.do(actor, transition_stage, **which, target_stage=target, notes=notes, approved_by=actor)

    async def churn(self) -> None:
        about = "Churn of subscription customers within the next 30 days."
        await self.do(PIPELINE, create_model, id=CHURN, project_id=PROJECT, name="Churn", description=about)
        await self.first_churn_models()
        await self.second_churn_models()

    def churn_version(
        self, number: str, description: str, features: list[str], trees: int, values: Any, **more: Any
    ) -> Any:
        artifact = {"uri": f"s3://models/churn/{number}/model.ubj", "format": "xgboost-ubj"}
        return {
            "model_id": CHURN,
            "version": parse(number),
            "description": description,
            "features": features,
            "target": "churned_30d",
            "artifact": artifact,
            "parameters": SETTINGS | {"n_estimators": trees},
            "metrics": metrics(*values),
        } | more

    async def first_churn_models(self) -> None:
        first = self.churn_version(
            "1.0.0",
            "First model on billing data",
            BASE,
            150,
            (0.861, 0.821, 0.779, 0.702, 0.739, 0.361),
            tags=["baseline"],
        )
        await self.experiment(
            "exp_baseline", "Baseline", "dsv_q2_2025", 1812.4, first, algorithm="xgboost", max_models=10
        )
        await self.step(JAMES, "1.0.0", Stage.STAGING, "First candidate.")
        await self.step(JAMES, "1.0.0", Stage.PRODUCTION, "Better than the rule-based list.")
        tuned = self.churn_version(
            "1.1.0", "More trees", BASE, 220, (0.868, 0.826, 0.786, 0.715, 0.749, 0.352), tags=["tuned"]
        )
        await self.experiment("exp_tuning", "Tuning", "dsv_q2_2025", 2954.1, tuned, algorithm="xgboost", max_models=25)
        failed = (
            "An MLP on the same features overfits: validation AUC 0.81 at best. Not worth another try on this data."
        )
        mlp = {
            "model_id": "model_mlp_churn",
            "version": parse("1.0.0"),
            "description": "Neural network, abandoned",
            "parameters": {"algorithm": "mlp", "layers": [64, 32], "dropout": 0.2},
            "metrics": {"auc": 0.807, "log_loss": 0.431},
            "tags": ["abandoned"],
            "create_model": True,
        }
        how = {"algorithm": "mlp", "max_models": 8, "status": ExperimentStatus.FAILED, "notes": failed}
        await self.experiment("exp_mlp", "Neural network", "dsv_q2_2025", 5210.0, mlp, **how)

    async def second_churn_models(self) -> None:
        second = self.churn_version(
            "2.0.0", "Usage data joins billing data", BASE + USAGE, 220, (0.891, 0.849, 0.817, 0.762, 0.789, 0.321),
            tags=["champion", "usage-features"],
        )  # fmt: skip
        await self.experiment(
            "exp_q3_usage", "Q3 usage data", "dsv_q3_2025", 3380.7, second, algorithm="xgboost", max_models=20
        )
        await self.step(MARIA, "2.0.0", Stage.STAGING, "Usage features lift AUC by 2.3 points.")
        await self.step(JAMES, "2.0.0", Stage.PRODUCTION, "Shadow deployment without findings.")
        tests = [{"role": DatasetRole.TEST, "dataset_version_id": f"dsv_q4_2025_{segment}"} for segment in SEGMENTS]
        third = self.churn_version(
            "2.1.0", "Retrained on Q4 2025 data with 3 new behavioral features", BASE + USAGE + BEHAVIOUR, 250,
            (0.912, 0.867, 0.843, 0.791, 0.816, 0.298),
            tags=["candidate", "q4-retrain", "behavioral-features"], datasets=tests,
        )  # fmt: skip
        await self.experiment(
            "exp_q4_retrain", "Q4 retraining", "dsv_q4_2025", 4127.3, third, algorithm="xgboost", max_models=20
        )
        await self.step(
            MARIA, "2.1.0", Stage.STAGING,
            "Approved for shadow deployment by ML review board. AUC improvement of 2.3% over current production model.",
        )  # fmt: skip

    async def demand(self) -> None:
        about = "Weekly demand by product and region."
        await self.do(PIPELINE, create_model, id=DEMAND, project_id=PROJECT, name="Demand", description=about)
        first = {
            "model_id": DEMAND,
            "version": parse("1.0.0"),
            "description": "LSTM over two years of orders",
            "target": "units_next_week",
            "features": ["week", "product", "region"],
            "parameters": {"algorithm": "lstm", "units": 128, "epochs": 40},
            "metrics": {"rmse": 41.2, "mape": 0.117, "r2": 0.83},
            "tags": ["champion", "requires-gpu"],
        }
        how = {"algorithm": "lstm", "max_models": 6}
        await self.experiment("exp_demand_lstm", "Demand LSTM", "dsv_orders_2025", 9040.0, first, **how)
        await self.step(MARIA, "1.0.0", Stage.STAGING, "Beats the seasonal baseline.", DEMAND)
        await self.step(JAMES, "1.0.0", Stage.PRODUCTION, "Two weeks of shadow forecasts agree.", DEMAND)

    async def candidate(self) -> None:
        """The card of 2.1.0, and the request that its reviewers find."""
        which = {"model_id": CHURN, "version": parse("2.1.0")}
        await self.do(MARIA, update_model_card, **which, model_card=CARD)
        notes = "Seven days of shadow traffic are over."
        await self.do(PIPELINE, request_transition, **which, target_stage=Stage.PRODUCTION, notes=notes)


CARD = {
    "description": "Customer churn prediction model for subscription products. Predicts probability of churn within the"
    " next 30 days.",
    "intended_use": "Real-time scoring of active subscribers to prioritize retention outreach.",
    "limitations": "Trained on US market data only. Performance may degrade for international customers. Not validated"
    " for enterprise tier accounts.",
    "ethical_considerations": "Model uses behavioral features only. No demographic or protected class features are"
    " included.",
    "training_data_summary": {
        "source": "Production subscription database",
        "date_range": "2025-01-01 to 2025-12-31",
        "total_rows": 247_500,
        "positive_class_ratio": 0.087,
        "feature_count": 18,
    },
    "performance_by_segment": {
        "enterprise": {"auc": 0.89, "samples": 12_400.0},
        "professional": {"auc": 0.91, "samples": 85_300.0},
        "starter": {"auc": 0.93, "samples": 149_800.0},
    },
}
