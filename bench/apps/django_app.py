"""Django without what a prediction does not need: no database, no middleware."""

import json

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from bench.apps.inference import predict_many, predict_one

settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__, MIDDLEWARE=[], SECRET_KEY="nothing is signed")


def predict(request: HttpRequest) -> JsonResponse:
    return JsonResponse(predict_one(json.loads(request.body)["features"]))


def predict_rows(request: HttpRequest) -> JsonResponse:
    return JsonResponse(predict_many(json.loads(request.body)["instances"]))


def health(_: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "healthy"})


urlpatterns = [path("predict", predict), path("predict-many", predict_rows), path("health", health)]
app = get_wsgi_application()
